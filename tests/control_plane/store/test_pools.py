"""The pools of connections to PostgreSQL."""

from contextlib import AsyncExitStack

import pytest
from database_pool import DatabasePool
from sqlalchemy import text

from rensei_platform.store.engine import Store

PID = text("SELECT pg_backend_pid()")
RUSH = 3


async def _pid(store: Store, *, is_writer: bool) -> int:
    async with store.write() if is_writer else store.read() as db:
        return int((await db.execute(PID)).scalar_one())


@pytest.mark.parametrize("is_writer", [False, True])
async def test_one_after_the_other_has_the_same_connection(
    pool: DatabasePool, is_writer: bool
) -> None:
    """After a rush too: what one connection has read and planned, another would again."""
    with pool.lent() as url:
        store = Store(url)
        async with AsyncExitStack() as rush:
            for _ in range(RUSH):
                lent = store.write() if is_writer else store.read()
                await rush.enter_async_context(lent)
        pids = {await _pid(store, is_writer=is_writer) for _ in range(2 * RUSH)}
        await store.close()
    assert len(pids) == 1
