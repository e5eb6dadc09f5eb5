"""Reads of one row through the driver itself: the same rows, the same errors."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import anyio
import pytest
from deadlines import HANG_SECONDS
from platform_server import Server
from postgresql import ROLE, Cluster, running_postgresql
from sqlalchemy import URL, Select, bindparam, func, literal_column, select

from rensei_platform.errors import InvalidRequestError, UnavailableError
from rensei_platform.store import orgs
from rensei_platform.store.engine import Store
from rensei_platform.store.schema import migrate
from rensei_platform.store.tables import orgs as orgs_table

WHEN = datetime(2026, 11, 28, 12, 0, 0, 1000, tzinfo=UTC)
BY_ID = select(orgs_table).where(orgs_table.c.id == bindparam("org"))

ONE: Select[tuple[int]] = select(literal_column("1").label("one"))
SLEEP = select(func.pg_sleep(30))


@pytest.fixture
async def store(database: URL) -> AsyncIterator[Store]:
    """An open database with one organization."""
    migrate(database)
    store = Store(database)
    async with store.write() as db:
        await orgs.add_org(db, "org_a", "Ä", WHEN)
    yield store
    await store.close()


async def test_a_row_is_read_as_sqlalchemy_reads_it(store: Store) -> None:
    """With times and texts of every column; None if there is no such row."""
    async with store.read() as db:
        (expected,) = (await db.execute(BY_ID, {"org": "org_a"})).mappings()
    found = await store.quick.one(BY_ID, {"org": "org_a"})
    assert found == dict(expected)
    assert found["created_at"] == WHEN
    assert await store.quick.one(BY_ID, {"org": "org_b"}) is None


async def test_a_change_is_seen_at_once(store: Store) -> None:
    """Once its transaction has ended: a connection that is kept holds no old view."""
    assert await store.quick.one(BY_ID, {"org": "org_b"}) is None
    async with store.write() as db:
        await orgs.add_org(db, "org_b", "B", WHEN)
    assert await store.quick.one(BY_ID, {"org": "org_b"}) is not None


async def test_many_reads_at_once_all_answer(store: Store) -> None:
    """More of them than there are connections."""
    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(store.quick.one, BY_ID, {"org": "org_a"})
    assert await store.quick.one(BY_ID, {"org": "org_a"}) is not None


async def test_a_read_that_was_cancelled_harms_no_other(postgresql: Cluster) -> None:
    """The statement is cancelled too, and the connection answers the next one."""
    url = URL.create(
        "postgresql+psycopg",
        ROLE,
        database="postgres",
        query={"host": str(postgresql.directory)},
    )
    store = Store(url)
    for _ in range(3):
        with anyio.move_on_after(0.1) as limit:
            await store.quick.one(SLEEP, {})
        assert limit.cancelled_caught
        assert await store.quick.one(ONE, {}) == {"one": 1}
    await store.close()


async def test_a_database_that_is_away_is_unavailable() -> None:
    """Of either kind."""
    for url in (
        URL.create("sqlite", database="/nonexistent/platform.db"),
        URL.create("postgresql+psycopg", "u", database="d", query={"host": "/nonexistent"}),
    ):
        store = Store(url)
        with pytest.raises(UnavailableError), anyio.fail_after(HANG_SECONDS):
            await store.quick.one(BY_ID, {"org": "org_a"})
        await store.close()


async def test_a_connection_that_ended_meanwhile_is_replaced() -> None:
    """A read after PostgreSQL has ended every connection is answered."""
    with running_postgresql() as cluster:
        socket = {"host": str(cluster.directory)}
        url = URL.create(
            "postgresql+psycopg", "postgres", database="postgres", query=socket
        )
        migrate(url)
        store = Store(url)
        assert await store.quick.one(BY_ID, {"org": "org_a"}) is None
        cluster.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid()"
        )
        assert await store.quick.one(BY_ID, {"org": "org_a"}) is None
        with pytest.raises(InvalidRequestError):
            await store.quick.one(BY_ID, {"org": "\0"})
        assert await store.quick.one(BY_ID, {"org": "org_a"}) is None
        await store.close()


async def test_a_beat_of_a_host_that_is_owed_nothing_reads_once(server: Server) -> None:
    """One row, through no other connection: that is what a quiet fleet costs."""
    host = await server.register()
    asked = []
    one, read = server.platform.store.quick.one, server.platform.store.read

    async def counted(query: object, parameters: object) -> object:
        asked.append("one")
        return await one(query, parameters)  # type: ignore[arg-type]

    def counted_read() -> object:
        asked.append("read")
        return read()

    server.platform.store.quick.one = counted  # type: ignore[method-assign,assignment]
    server.platform.store.read = counted_read  # type: ignore[method-assign,assignment]
    await host.beat()
    assert asked == ["one"]
    one_id = await host.enqueue()
    assert await host.pending() == [one_id]
