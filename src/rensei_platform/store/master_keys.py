"""Which master keys the values of the database are sealed with: ids, never the keys."""

from datetime import datetime

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from rensei_platform.store.credentials import upsert
from rensei_platform.store.tables import master_keys


async def noted(db: AsyncConnection) -> frozenset[str]:
    """Return the ids that are noted."""
    return frozenset(await db.scalars(select(master_keys.c.id)))


async def note_first(db: AsyncConnection, key_id: str, now: datetime) -> frozenset[str]:
    """Return the ids that are noted; note `key_id` if none is."""
    if found := await noted(db):
        return found
    await db.execute(insert(master_keys).values(id=key_id, created_at=now))
    return frozenset({key_id})


async def note(db: AsyncConnection, key_id: str, now: datetime) -> None:
    """Note that values are sealed with a key from now on."""
    await upsert(db, master_keys, {"id": key_id, "created_at": now})


async def forget_others(db: AsyncConnection, key_id: str) -> None:
    """Forget every key but one: no value is sealed with them any more."""
    await db.execute(delete(master_keys).where(master_keys.c.id != key_id))
