"""The database connections: one pool that reads, one that writes.

A reader commits by itself after each statement. A writer is one transaction; with SQLite
there is one writer at a time (see `group_commit`), and it takes the write lock when it
begins, so that it never fails halfway because another was faster.
"""

import logging
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
from sqlalchemy import URL, event, func, make_url, select, update
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from rensei_platform.errors import SettingsError, UnavailableError
from rensei_platform.store.database_file import DatabaseFile
from rensei_platform.store.ended_connections import replace_ended
from rensei_platform.store.group_commit import GroupCommit
from rensei_platform.store.quick import PostgresqlReader, QuickReader, SqliteReader
from rensei_platform.store.tables import schema_steps
from rensei_platform.store.trouble import (
    BUSY,
    READ,
    WRITE,
    DatabaseError,
    Troubles,
    explained,
)

_ANYTHING = select(schema_steps.c.revision).limit(1)
_NO_CHANGE = update(schema_steps).values(previous=schema_steps.c.previous)
_CLOCK = select(func.clock_timestamp())
_POOL_TIMEOUT_SECONDS = 5.0
_SQLITE_READERS = 4
_READER_CACHE_KIB = 8192
"""Of each reader. With SQLite's 2 MiB the list of hosts sorts 25,500 mutations on the disk,
and takes 72 ms of a core for it instead of 41."""
_POSTGRESQL_POOL = 10
_BUSY_SECONDS = 5.0
"""For the lock of another program."""
_TURN_SECONDS = 5.0
"""For the writers before this one."""
_POSTGRESQL_SOCKET = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": 15_000,
}
"""So that a server which is gone without a word is noticed in 20 seconds."""
_DIRECT = {"options": "-c statement_timeout=10000 -c lock_timeout=5000"}
POSTGRESQL_DIALECT: dict[str, Any] = {"use_native_hstore": False}
"""Without it each engine looks in the catalogue for a type that no column of ours has."""
_POOLED = {"prepare_threshold": None}
"""What is set or prepared on a pooler's connection is the next client's, or refused."""


def parse_url(text: str) -> URL:
    """Return a database URL with its driver. Raise SettingsError if it is neither kind."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise SettingsError("the database URL is malformed", hint=_URL_HINT) from None
    match url.drivername.partition("+")[0]:
        case "sqlite" if url.database and url.database != ":memory:":
            _check_path_alone(url)
            return url.set(drivername="sqlite")
        case "postgresql" | "postgres":
            return url.set(drivername="postgresql+psycopg")
        case _:
            raise SettingsError("the database URL is of neither kind", hint=_URL_HINT)


def _check_path_alone(url: URL) -> None:
    """Raise SettingsError for more than a file's path, which SQLite would not see."""
    if url.host or url.port or url.username or url.password:
        raise SettingsError("the database URL of a file names a host", hint=_URL_HINT)
    if url.query:
        raise SettingsError(
            "the database URL of a file takes no options after a question mark",
            hint=_URL_HINT,
        )


_URL_HINT = (
    "Use sqlite:////var/lib/rensei-platform/platform.db or postgresql://user@host/name."
)


class Store:
    """An open database."""

    def __init__(
        self, url: URL, *, is_pooled: bool = False, logs_trouble: bool = False
    ) -> None:
        """`is_pooled`: a pooler of transactions is between us and PostgreSQL."""
        self.is_sqlite = url.drivername == "sqlite"
        self.troubles = Troubles(is_logged=logs_trouble)
        self._file = DatabaseFile(Path(str(url.database)) if self.is_sqlite else None)
        self.quick: QuickReader
        self._turn: anyio.Lock | anyio.Semaphore
        self._begun_in_turn: Callable[[], AbstractAsyncContextManager[AsyncConnection]]
        """Lends a connection for one turn, and ends it."""
        if self.is_sqlite:
            self._readers, self._writers = _sqlite_engines(url)
            self.quick = SqliteReader(url, self._file)
            group = GroupCommit(self._writers, self._file.check)
            self._turn, self._begun_in_turn = group.turn, group.begun
        else:
            connecting = _POOLED if is_pooled else _DIRECT
            self._readers, self._writers = _postgresql_engines(url, connecting)
            self.quick = PostgresqlReader(url, connecting)
            self._turn = anyio.Semaphore(_POSTGRESQL_POOL)
            self._begun_in_turn = self._begun

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """Lend a connection whose statements stand for themselves.

        Raise UnavailableError if the database does not answer, InvalidRequestError for a
        value that no column can hold.
        """
        with self.troubles.noted(READ), explained(), self._uninterrupted():
            self._file.check()
            async with self._readers.connect() as connection:
                yield connection

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """Lend a connection with a transaction, committed at the end of the block.

        Raise UnavailableError if the database does not answer or has no turn within a few
        seconds, InvalidRequestError for a value that no column can hold.
        """
        with self.troubles.noted(WRITE), explained():
            await self._wait_for_turn()
            with self._uninterrupted():
                async with self._begun_in_turn() as connection:
                    yield connection
                self._file.check()  # or what was written is nowhere

    @asynccontextmanager
    async def _begun(self) -> AsyncIterator[AsyncConnection]:
        try:
            async with self._writers.begin() as connection:
                yield connection
        finally:
            self._turn.release()

    async def _wait_for_turn(self) -> None:
        with anyio.move_on_after(_TURN_SECONDS) as limit:
            await self._turn.acquire()
        if limit.cancelled_caught:
            raise DatabaseError(BUSY)

    def _uninterrupted(self) -> anyio.CancelScope:
        """Let a cancellation wait for the end of what is asked of SQLite.

        Its statements are short. A driver that is cancelled within one drops the
        connection, and can then wait for ever for the thread that has it.
        """
        return anyio.CancelScope(shield=self.is_sqlite)

    async def ping(self) -> None:
        """Read a row. Raise UnavailableError if the database does not answer."""
        async with self.read() as db:
            await db.execute(_ANYTHING)

    async def check(self) -> None:
        """Do the same, and find out whether a trouble of writes is over."""
        await self.ping()
        if self.troubles.stops_writes:
            with suppress(UnavailableError):
                await self.change_nothing()

    async def change_nothing(self) -> None:
        """Write what is there already. Raise UnavailableError if nothing can be written."""
        async with self.write() as db:
            await db.execute(_NO_CHANGE)

    async def clock(self) -> datetime:
        """Return the time of the database, which is this machine's for an embedded one."""
        if self.is_sqlite:
            return datetime.now(UTC)
        async with self.read() as db:
            now: datetime = (await db.execute(_CLOCK)).scalar_one()
        return now

    async def close(self) -> None:
        """Close every connection."""
        await self.quick.close()
        await self._readers.dispose()
        await self._writers.dispose()


def listening_conninfo(url: URL) -> str:
    """Return the connection string of PostgreSQL's own driver, with its timeouts."""
    timeouts = {name: str(value) for name, value in _POSTGRESQL_SOCKET.items()}
    own = url.set(drivername="postgresql").update_query_dict(timeouts)
    return own.render_as_string(hide_password=False)


def _sqlite_engines(url: URL) -> tuple[AsyncEngine, AsyncEngine]:
    asynchronous = url.set(drivername="sqlite+aiosqlite")
    readers = create_async_engine(
        asynchronous,
        isolation_level="AUTOCOMMIT",
        pool_size=_SQLITE_READERS,
        max_overflow=0,
        pool_timeout=_POOL_TIMEOUT_SECONDS,
        pool_reset_on_return=None,
        connect_args=sqlite_arguments(),
    )
    writers = create_async_engine(
        asynchronous,
        pool_size=1,
        max_overflow=0,
        pool_timeout=_POOL_TIMEOUT_SECONDS,
        connect_args=sqlite_arguments(),
    )
    event.listen(readers.sync_engine, "connect", _prepare_sqlite_reader)
    event.listen(writers.sync_engine, "connect", prepare_sqlite)
    event.listen(writers.sync_engine, "begin", _begin_immediate)
    return readers, writers


def sqlite_arguments() -> dict[str, Any]:
    """Return how the driver connects."""
    return {"timeout": _BUSY_SECONDS}


def prepare_sqlite(connection: Any, _record: object) -> None:
    """Set up a connection that writes: durable at commit, no transaction but ours."""
    connection.isolation_level = None
    _set(connection, "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON")


def _prepare_sqlite_reader(connection: Any, _record: object) -> None:
    _set(connection, "query_only=ON", f"cache_size=-{_READER_CACHE_KIB}")


def _set(connection: Any, *pragmas: str) -> None:
    """Set pragmas; close a connection that fails, or its thread would be left behind."""
    try:
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()
    except sqlite3.Error:
        connection.close()
        raise


def _begin_immediate(connection: Any) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _postgresql_engines(
    url: URL, connecting: Mapping[str, Any]
) -> tuple[AsyncEngine, AsyncEngine]:
    # It warns of each query that is cancelled, which a stop does.
    logging.getLogger("psycopg").setLevel(logging.ERROR)
    options: dict[str, Any] = {
        "pool_size": _POSTGRESQL_POOL,
        "max_overflow": 0,
        "pool_timeout": _POOL_TIMEOUT_SECONDS,
        "pool_pre_ping": False,
        "pool_use_lifo": True,  # the one used last has read the catalogue of what is asked
        **POSTGRESQL_DIALECT,
        "connect_args": {**_POSTGRESQL_SOCKET, **connecting},
    }
    readers = create_async_engine(
        url, isolation_level="AUTOCOMMIT", pool_reset_on_return=None, **options
    )
    writers = create_async_engine(url, **options)
    for engine in (readers, writers):
        replace_ended(engine)
    return readers, writers
