"""Which master keys the values of the database are sealed with: ids, never the keys."""

from datetime import datetime

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from rensei_platform.store.credentials import upsert
from rensei_platform.store.tables import master_keys


async def note_first(db: AsyncConnection, key_id: str, now: datetime) -> frozenset[str]:
    """Return the ids that are noted; note `key_id` if none is."""
    noted = frozenset(await db.scalars(select(master_keys.c.id)))
    if noted:
        return noted
    await db.execute(insert(master_keys).values(id=key_id, created_at=now))
    return frozenset({key_id})


async def note(db: AsyncConnection, key_id: str, now: datetime) -> None:
    """Note that values are sealed with a key from now on."""
    await upsert(db, master_keys, {"id": key_id, "created_at": now})
