"""Checks that ask the database: its schema, its clock, its master key, its values."""

import time
from datetime import UTC, datetime
from pathlib import Path

import anyio
from sqlalchemy import URL

from rensei_platform.doctor.result import Result, reported
from rensei_platform.sealing import Sealer
from rensei_platform.services.clones import cloned_hosts
from rensei_platform.services.opening import check_master_key
from rensei_platform.services.resealing import unopened
from rensei_platform.store.database_file import found_damage
from rensei_platform.store.engine import Store
from rensei_platform.store.lock import is_removed
from rensei_platform.store.schema import check_schema
from rensei_platform.store.trouble import DAMAGED

MOST_SKEW_SECONDS = 5.0
MOST_SECONDS_OF_READING = 10.0


async def check_database(url: URL, master_key: Path) -> list[Result]:
    """Return what is found. Without a database nothing else can be asked."""
    found: list[Result] = []
    if await anyio.to_thread.run_sync(is_removed, url):
        return []  # `machine` says so
    with reported("database", found):
        await anyio.to_thread.run_sync(check_schema, url)
        found.append(
            Result("database", "ok", f"{url.get_backend_name()}, its schema is up to date")
        )
    if found[-1].state != "ok":
        return found
    if url.drivername == "sqlite":
        found.append(await anyio.to_thread.run_sync(_content, Path(str(url.database))))
    store = Store(url)
    try:
        with reported("writes", found):
            await store.change_nothing()
            found.append(Result("writes", "ok", "the database can be written"))
        with reported("clock", found):
            found.append(await _clock(store))
        with reported("master key", found):
            found.append(await _master_key(store, master_key))
        with reported("hosts", found):
            found.append(await _hosts(store))
    finally:
        await store.close()
    return found


def _content(file: Path) -> Result:
    """Return whether the pages of the file fit together, as far as time allows."""
    if damage := found_damage(file, MOST_SECONDS_OF_READING):
        return Result("content", "error", f"{file}: {damage[:200]}", DAMAGED.hint)
    return Result("content", "ok", "no damage is found in the file")


async def _clock(store: Store) -> Result:
    begun = time.monotonic()
    there = await store.clock()
    skew = abs((datetime.now(UTC) - there).total_seconds())
    skew = max(0.0, skew - (time.monotonic() - begun))
    if skew > MOST_SKEW_SECONDS:
        message = f"this machine and the database differ by {skew:.0f} s"
        return Result("clock", "error", message, "Let both follow the same time server.")
    return Result("clock", "ok", "agrees with the database's")


async def _master_key(store: Store, path: Path) -> Result:
    sealer = Sealer.from_file(path)
    await check_master_key(store, sealer, path)
    if broken := await unopened(store, sealer):
        return Result(
            "master key",
            "error",
            f"{path} does not open {len(broken)} of the first values, such as {broken[0]}",
            "Set these credentials again, or restore the database and its key together.",
        )
    if len(sealer.keys) > 1:
        message = f"{path} holds {len(sealer.keys)} keys: a replacement has not ended"
        hint = "Run `rensei-platform key rotate-master` again."
        return Result("master key", "warning", message, hint)
    return Result("master key", "ok", f"{path} opens the stored values")


async def _hosts(store: Store) -> Result:
    async with store.read() as db:
        clones = await cloned_hosts(db, datetime.now(UTC))
    if not clones:
        return Result("hosts", "ok", "each is reported by one daemon")
    return Result(
        "hosts",
        "warning",
        f"two daemons or more report as each of {len(clones)}, such as {clones[0]}",
        "Where a machine was cloned, give the clone an id of its own: "
        "rm /etc/machine-id; systemd-machine-id-setup; restart its daemon.",
    )
