"""Pooled connections, and a PostgreSQL that ends them."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import anyio.to_thread
import pytest
from deadlines import HANG_SECONDS
from postgresql import ROLE, Cluster, running_postgresql
from sqlalchemy import URL, event, text

from rensei_platform.errors import UnavailableError
from rensei_platform.store.engine import Store
from rensei_platform.store.schema import migrate

pytestmark = pytest.mark.needs("postgresql")

PID = text("SELECT pg_backend_pid()")
AT_ONCE = 5


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A cluster that may be restarted, and has kept what was committed."""
    with running_postgresql(fsync="on", synchronous_commit="on") as cluster:
        yield cluster


@pytest.fixture
async def store(cluster: Cluster) -> AsyncIterator[Store]:
    """A database with tables."""
    migrate(_url(cluster))
    store = Store(_url(cluster))
    yield store
    await store.close()


def _url(cluster: Cluster) -> URL:
    query = {"host": str(cluster.directory)}
    return URL.create("postgresql+psycopg", username=ROLE, database="postgres", query=query)


async def _backends(store: Store) -> set[int]:
    """Have several connections of each pool in use at once; return their backends."""
    found: set[int] = set()
    all_have_one = anyio.Event()

    async def use(is_writer: bool) -> None:
        async with store.write() if is_writer else store.read() as db:
            found.add((await db.execute(PID)).scalar_one())
            if len(found) == 2 * AT_ONCE:
                all_have_one.set()
            await all_have_one.wait()

    with anyio.fail_after(HANG_SECONDS):
        async with anyio.create_task_group() as tasks:
            for number in range(2 * AT_ONCE):
                tasks.start_soon(use, number % 2 == 0)
    return found


async def _restart(cluster: Cluster) -> None:
    await anyio.to_thread.run_sync(cluster.stop)
    await anyio.to_thread.run_sync(cluster.start)


async def test_a_restart_refuses_no_request(cluster: Cluster, store: Store) -> None:
    """Every connection of either pool has ended, and each user gets a new one."""
    before = await _backends(store)
    await _restart(cluster)
    assert not before & await _backends(store)
    assert store.troubles.advice == ""


async def test_one_that_the_server_ended_is_replaced(
    cluster: Cluster, store: Store
) -> None:
    """As an administrator or an idle timeout does; the others are kept."""
    before = await _backends(store)
    ended = min(before)
    cluster.sql(f"SELECT pg_terminate_backend({ended}, 5000)")
    after = await _backends(store)
    assert len(before & after) == 2 * AT_ONCE - 1
    assert ended not in after


async def test_connections_that_live_are_kept(store: Store) -> None:
    """Nothing is to be read on them."""
    assert await _backends(store) == await _backends(store)


async def test_a_server_that_ends_every_new_connection_is_unavailable(
    cluster: Cluster, store: Store
) -> None:
    """As one that is stopping does: the first one's end is met, not run after."""
    made = []

    def end(connection: Any, _record: object) -> None:
        made.append(connection.driver_connection.info.backend_pid)
        cluster.sql(f"SELECT pg_terminate_backend({made[-1]}, 5000)")

    event.listen(store._readers.sync_engine, "connect", end)
    with pytest.raises(UnavailableError):
        await store.ping()
    assert len(made) == 1
