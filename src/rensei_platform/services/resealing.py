"""Sealing every stored value with another master key, while servers run.

    the file [new, old] --> the servers seal with the new key and open both
    every row, a batch a transaction --> sealed with the new key
    again, until no row is left --> the file [new]

It can be ended at any moment: the file and the rows tell the next run where to go on.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import anyio
from sqlalchemy import Column

from rensei_platform.errors import SettingsError
from rensei_platform.master_key import (
    generate_master_key,
    read_master_keys,
    replace_master_keys,
)
from rensei_platform.providers.database import ValueScope
from rensei_platform.rules.callers import on_the_host
from rensei_platform.sealing import Sealer, SealingError
from rensei_platform.services.resolved_values import sealed_identity
from rensei_platform.store import audit, master_keys, orgs, sealed_rows
from rensei_platform.store.engine import Store
from rensei_platform.store.tables import credential_values, resolved_sets

COMMAND = "key rotate-master"
"""Who has replaced the key, as the audit names them."""
BATCH = 100
"""Rows of a transaction: with SQLite the servers wait for it to end."""


def _value_identity(
    org_id: str, kind: str, project_id: str, environment: str, name: str
) -> str:
    return ValueScope(org_id, kind, project_id, environment).identity(name)


COLUMNS: tuple[tuple[Column[Any], Callable[..., str]], ...] = (
    (credential_values.c.sealed, _value_identity),
    (resolved_sets.c.sealed, lambda binding: sealed_identity("values", binding)),
    (resolved_sets.c.sealed_lease, lambda binding: sealed_identity("leases", binding)),
)
"""Every sealed column, and what its rows are sealed for."""


@dataclass(slots=True)
class Resealed:
    """What one pass over all rows has done."""

    count: int = 0
    broken: list[str] = field(default_factory=list)
    """Rows that no key opens."""


async def begin(store: Store, path: Path, now: datetime, *, is_alone: bool) -> Sealer:
    """Put the new key first in the file; return what seals with it and opens the old ones.

    A new key that is in the file already is taken: one that `prepare` has added, or that an
    interrupted run has made. Raise SettingsError if there is none, and other servers may
    have copies of the file.
    """
    keys = read_master_keys(path)
    async with store.read() as db:
        noted = await master_keys.noted(db)
    fresh = [key for key in keys if key.id not in noted]
    if fresh:
        keys = (fresh[0], *(key for key in keys if key != fresh[0]))
    elif len(keys) == 1:
        if not is_alone:
            raise SettingsError(
                f"other servers of the database may have a copy of {path}",
                hint="Run it with --prepare and copy the file to all of them, then run it "
                "again; or with --alone, if there is no other.",
            )
        keys = (generate_master_key(), *keys)
    replace_master_keys(path, keys)
    async with store.write() as db:
        await master_keys.note(db, keys[0].id, now)
    return Sealer.from_file(path)


async def prepare(store: Store, path: Path) -> None:
    """Add a new key to the file, which opens values and seals none yet; once."""
    keys = read_master_keys(path)
    async with store.read() as db:
        noted = await master_keys.noted(db)
    if all(key.id in noted for key in keys):
        replace_master_keys(path, [*keys, generate_master_key()])


async def reseal(store: Store, sealer: Sealer) -> Resealed:
    """Seal with the first key every row that is not; a row that no key opens is left."""
    done = Resealed()
    for column, identity in COLUMNS:
        after = None
        while True:
            async with store.read() as db:
                rows = await sealed_rows.find(
                    db, column, but=sealer.prefix, after=after, limit=BATCH
                )
            if not rows:
                break
            await _reseal_batch(store, sealer, column, identity, rows, done)
            after = rows[-1].key
    return done


async def _reseal_batch(
    store: Store,
    sealer: Sealer,
    column: Column[Any],
    identity: Callable[..., str],
    rows: list[sealed_rows.SealedRow],
    done: Resealed,
) -> None:
    async with store.write() as db:
        for row in rows:
            try:
                sealed = sealer.reseal(row.sealed, identity(*row.key))
            except SealingError:
                done.broken.append(f"{column.table.name} {'/'.join(filter(None, row.key))}")
            else:
                await sealed_rows.replace(db, column, row, sealed)
                done.count += 1


async def reseal_until_none_is_left(
    store: Store, sealer: Sealer, settle_seconds: float
) -> Resealed:
    """Reseal, wait, and look again until a pass finds nothing; return the sum.

    A server may have sealed with the old key just before the new one came, and store it
    later: it is given `settle_seconds` for that.
    """
    total = await reseal(store, sealer)
    while not total.broken:
        await anyio.sleep(settle_seconds)
        again = await reseal(store, sealer)
        total.count += again.count
        total.broken += again.broken
        if not again.count:
            break
    return total


async def finish(store: Store, path: Path, sealer: Sealer, now: datetime) -> None:
    """Forget every key but the first, in the file and then in the database.

    It is in the audit of every organization: the key opens the values of all.
    """
    key = sealer.keys[0]
    replace_master_keys(path, [key])
    async with store.write() as db:
        await master_keys.forget_others(db, key.id)
        entries = [
            audit.entry(on_the_host(org["id"], COMMAND), "master_key.replace", key.id, now)
            for org in await orgs.list_orgs(db)
        ]
        if entries:
            await audit.add_entries(db, entries)


async def unopened(store: Store, sealer: Sealer, limit: int = BATCH) -> list[str]:
    """Return which of the first rows of each column no key opens."""
    broken = []
    for column, identity in COLUMNS:
        async with store.read() as db:
            rows = await sealed_rows.find(db, column, limit=limit)
        for row in rows:
            try:
                sealer.unseal(row.sealed, identity(*row.key))
            except SealingError:
                broken.append(f"{column.table.name} {'/'.join(filter(None, row.key))}")
    return broken
