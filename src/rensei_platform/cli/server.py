"""`init` and `serve`: the commands that open the database."""

import json
import os
import signal
from datetime import timedelta
from pathlib import Path

import anyio
import click
from sqlalchemy import URL

from rensei_platform.config_file import read_providers
from rensei_platform.errors import SettingsError
from rensei_platform.http.descriptors import most_streams, raise_limit
from rensei_platform.http.server import listen, serving, url_of
from rensei_platform.ids import new_id
from rensei_platform.locations import state_directory
from rensei_platform.sealing import Sealer
from rensei_platform.services.administration import MadeKey, found_org
from rensei_platform.services.opening import (
    check_master_key,
    ensure_master_key,
    master_key_path,
    opened,
)
from rensei_platform.services.platform import utc_now
from rensei_platform.settings import ServerSettings
from rensei_platform.store.engine import Store, parse_url
from rensei_platform.store.lock import exclusive
from rensei_platform.store.schema import migrate

LOOPBACK = ("127.0.0.1", "::1", "localhost")

database_option = click.option(
    "--database",
    metavar="URL",
    required=True,
    help="sqlite:///FILE or postgresql://USER@HOST/NAME.",
)
master_key_option = click.option(
    "--master-key",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Encrypts stored values. Default: what systemd passes; else beside an embedded "
    "database, or master.key in the state directory.",
)


@click.command("init")
@database_option
@master_key_option
@click.option("--org", "name", required=True, help="Name of the first organization.")
@click.option("--org-id", metavar="ID", help="Its id. Default: a random one.")
@click.option("--owner", required=True, metavar="EMAIL", help="Its first owner.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def init(
    database: str,
    master_key: Path | None,
    name: str,
    org_id: str | None,
    owner: str,
    as_json: bool,
) -> None:
    """Create the database, an organization and its owner; print the owner's key once.

    Example: rensei-platform init --database sqlite:////var/lib/rensei-platform/platform.db
    --org Acme --owner ada@acme.test
    """
    url, org_id = parse_url(database), org_id or new_id("org")
    key_path = _key_path(url, master_key)
    made = anyio.run(_initialize, url, key_path, org_id, name, owner)
    _show_master_key(url, key_path)
    if as_json:
        click.echo(json.dumps({"orgId": org_id, "key": made.text}))
    else:
        click.echo(f"organization: {org_id}\nkey of {owner}, shown once: {made.text}")


async def _initialize(
    url: URL, master_key: Path, org_id: str, name: str, owner: str
) -> MadeKey:
    if url.drivername == "sqlite":
        Path(str(url.database)).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with exclusive(url):
        ensure_master_key(master_key)
        sealer = Sealer.from_file(master_key)
        await anyio.to_thread.run_sync(migrate, url)
        store = Store(url)
        try:
            await check_master_key(store, sealer, master_key)
            return await found_org(store, org_id, name, owner, utc_now(), is_operator=True)
        finally:
            await store.close()


def _key_path(url: URL, configured: Path | None) -> Path:
    return master_key_path(url, configured, state_directory(os.environ, os.geteuid()))


def _show_master_key(url: URL, path: Path) -> None:
    """Say on stderr where the key is: stdout is for who parses it."""
    where = (
        "" if url.drivername == "sqlite" else "; copy it to every server of the database"
    )
    click.echo(
        f"master key: {path}{where}. A backup of the database is of no use without it.",
        err=True,
    )


@click.command("migrate")
@database_option
def migrate_command(database: str) -> None:
    """Bring the database's schema up to date.

    Example: rensei-platform migrate --database sqlite:////var/lib/rensei-platform/platform.db
    """
    url = parse_url(database)
    with exclusive(url):
        migrate(url)
    click.echo("the schema is up to date")


@click.command("serve")
@database_option
@master_key_option
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS")
@click.option("--port", default=8790, show_default=True, type=click.IntRange(0, 65535))
@click.option("--heartbeat-interval-ms", default=30_000, type=click.IntRange(100))
@click.option("--token-ttl-seconds", default=3600, type=click.IntRange(1))
@click.option("--deliver-once", is_flag=True, help="Deliver each mutation only once.")
@click.option(
    "--stop-seconds",
    default=10.0,
    type=click.FloatRange(0, 300),
    help="A stopping server ends its streams one after the other, within this time.",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="platform.toml, with the instances of credential providers.",
)
@click.option(
    "--ready-file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the server's URL here when it listens.",
)
def serve(
    database: str,
    master_key: Path | None,
    host: str,
    port: int,
    heartbeat_interval_ms: int,
    token_ttl_seconds: int,
    deliver_once: bool,
    stop_seconds: float,
    config: Path | None,
    ready_file: Path | None,
) -> None:
    """Serve the control plane until TERM or INT.

    Example: rensei-platform serve --database sqlite:////var/lib/rensei-platform/platform.db
    """
    if host not in LOOPBACK:
        raise SettingsError(
            f"{host} is no loopback address, and this server speaks no TLS",
            hint="Listen on 127.0.0.1 behind a proxy that does.",
        )
    settings = ServerSettings(
        heartbeat_interval_ms=heartbeat_interval_ms,
        token_lifetime=timedelta(seconds=token_ttl_seconds),
        deliver_once=deliver_once,
        stop_seconds=stop_seconds,
        most_streams=most_streams(raise_limit()),
        providers=read_providers(config) if config is not None else {},
    )
    url = parse_url(database)
    anyio.run(
        _serve,
        url,
        _key_path(url, master_key),
        settings,
        (host, port),
        ready_file,
        backend_options={"use_uvloop": True},
    )


async def _serve(
    url: URL,
    master_key: Path,
    settings: ServerSettings,
    address: tuple[str, int],
    ready_file: Path | None,
) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with opened(url, settings, master_key) as platform:
            with listen(*address) as listener:
                async with serving(platform, listener):
                    served_at = url_of(listener)
                    click.echo(f"serving at {served_at}", err=True)
                    if ready_file is not None:
                        _write_ready(ready_file, served_at)
                    async for _ in signals:
                        break


def _write_ready(path: Path, url: str) -> None:
    """Write the file in one step, so that who waits for it reads all of it."""
    draft = path.with_name(f".{path.name}.part")
    draft.write_text(f"{url}\n")
    draft.replace(path)
