"""`key rotate-master`: another master key, while servers run."""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import click

from rensei_platform.cli.database import Setup, master_key_option, uses_setup
from rensei_platform.cli.output import shown
from rensei_platform.errors import PlatformError, StartError
from rensei_platform.master_key import MasterKeyError, read_master_keys
from rensei_platform.sealing import Sealer
from rensei_platform.services import resealing
from rensei_platform.services.opening import check_master_key
from rensei_platform.services.platform import utc_now
from rensei_platform.store.engine import Store
from rensei_platform.store.schema import check_schema

_MOST_SHOWN = 20


@click.command("rotate-master")
@uses_setup("master_key")
@master_key_option
@click.option("--prepare", is_flag=True, help="Only add the new key, to be copied.")
@click.option("--alone", is_flag=True, help="No other server has a copy of the file.")
@click.option(
    "--settle-seconds",
    type=click.FloatRange(0, 3600),
    default=15.0,
    show_default=True,
    help="How long a server may take to store what it sealed with the old key.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def rotate_master(
    setup: Setup, prepare: bool, alone: bool, settle_seconds: float, as_json: bool
) -> None:
    """Encrypt every stored value with a new master key. Servers may run meanwhile.

    Both keys are accepted until no value needs the old one. If it is interrupted, run it
    again. Where servers on other machines have a copy of the file, run it with --prepare,
    copy the file to them, restart those whose key systemd passes, and run it again.

    Example: rensei-platform key rotate-master --config /etc/rensei-platform/platform.toml
    """
    path = setup.master_key
    check_schema(setup.direct_database)
    with _alone_with(path):
        is_alone = alone or setup.direct_database.drivername == "sqlite"
        count = anyio.run(_rotate, setup, prepare, is_alone, settle_seconds)
    if as_json:
        click.echo(json.dumps({"resealed": count, "prepared": prepare}))
    elif prepare:
        click.echo(f"{path} has a new key at its end; copy it to every server, then go on")
    else:
        click.echo(f"{count} values are encrypted with the new key; {path} holds it alone")


async def _rotate(
    setup: Setup, prepare: bool, is_alone: bool, settle_seconds: float
) -> int:
    path, store = setup.master_key, Store(setup.direct_database)
    try:
        await check_master_key(store, Sealer.from_file(path), path)
        if prepare:
            await resealing.prepare(store, path)
            return 0
        sealer = await resealing.begin(store, path, utc_now(), is_alone=is_alone)
        done = await resealing.reseal_until_none_is_left(store, sealer, settle_seconds)
        if done.broken:
            raise PlatformError(
                f"{len(done.broken)} values do not open with any key: "
                + ", ".join(shown(row) for row in done.broken[:_MOST_SHOWN]),
                hint="Set these credentials again, or unbind them; then run it again. "
                "The old key stays in the file.",
            )
        await resealing.finish(store, path, sealer, utc_now())
        return done.count
    finally:
        await store.close()


@contextmanager
def _alone_with(path: Path) -> Iterator[None]:
    """Hold the file of the key. Raise StartError if another command does.

    Raise MasterKeyError if there is no such file, or its directory takes no new one.
    """
    read_master_keys(path)  # or a lock would be left where there is no key
    try:
        lock = path.with_name(f"{path.name}.lock").open("a")
    except OSError as error:
        raise MasterKeyError(
            f"{path}: cannot replace the master key: {error.strerror}",
            hint="Be root, and let --master-key name the file itself: its directory must "
            "be writable.",
        ) from error
    with lock as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StartError(
                f"{path}: another command is replacing the master key",
                hint="Wait until it has ended.",
            ) from None
        yield
