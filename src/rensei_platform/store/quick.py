"""Reads of one row by index, through the database's own driver.

Every heartbeat and every request makes one of them. By way of SQLAlchemy it costs a
millisecond of the processor (with SQLite a hand-over to a thread as well); the row itself
is found in a few microseconds. So the statements are written and compiled by SQLAlchemy,
once, and asked of a connection of the driver.
"""

import sqlite3
from collections.abc import Mapping
from functools import cache
from typing import Any, Protocol

import anyio
import psycopg
from sqlalchemy import URL, Dialect, Select
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.postgresql.psycopg import PGDialectAsync_psycopg

from rensei_platform.store.database_file import DatabaseFile
from rensei_platform.store.trouble import explained

_CONNECTIONS = 4
_TIMEOUT_SECONDS = 5.0
_BUSY_SECONDS = 0.2
"""The event loop waits meanwhile: only a recovery of the database makes a reader wait."""


class QuickReader(Protocol):
    """What asks for rows."""

    async def one(
        self, query: Select[Any], parameters: Mapping[str, Any]
    ) -> Mapping[str, Any] | None:
        """Return the first row by the names of its columns. None if there is none.

        `query` lives as long as the program: it is compiled once. Raise UnavailableError
        if the database does not answer.
        """
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...


class _Compiled:
    """A query as a driver takes it, and how its rows are read."""

    def __init__(self, query: Select[Any], dialect: Dialect) -> None:
        compiled = query.compile(dialect=dialect)
        self.text = str(compiled)
        self._constants = compiled.params
        self._columns = [
            (column.name, column.type.dialect_impl(dialect).result_processor(dialect, None))
            for column in query.selected_columns
        ]

    def parameters(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of every parameter."""
        return {**self._constants, **given}

    def read(self, row: tuple[Any, ...] | None) -> Mapping[str, Any] | None:
        """Return a row by the names of its columns."""
        if row is None:
            return None
        return {
            name: value if process is None else process(value)
            for (name, process), value in zip(self._columns, row, strict=True)
        }


_SQLITE = sqlite.dialect(paramstyle="named")
_POSTGRESQL = PGDialectAsync_psycopg()  # type: ignore[no-untyped-call]


@cache
def _compiled(query: Select[Any], dialect: Dialect) -> _Compiled:
    """Return a query for one of the dialects above."""
    return _Compiled(query, dialect)


class SqliteReader:
    """Reads in the thread of the event loop: nothing of SQLite's makes a reader wait."""

    def __init__(self, url: URL, file: DatabaseFile) -> None:
        self._path, self._file = url.database or "", file
        self._connection: sqlite3.Connection | None = None

    async def one(
        self, query: Select[Any], parameters: Mapping[str, Any]
    ) -> Mapping[str, Any] | None:
        """Return the first row by the names of its columns. None if there is none."""
        compiled = _compiled(query, _SQLITE)
        self._file.check()
        with explained():
            found = self._open().execute(compiled.text, compiled.parameters(parameters))
            return compiled.read(found.fetchone())

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = sqlite3.connect(
                self._path, timeout=_BUSY_SECONDS, isolation_level=None
            )
            self._connection.execute("PRAGMA query_only=ON")
        return self._connection

    async def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class PostgresqlReader:
    """Reads on a few connections that are kept for it."""

    def __init__(self, url: URL, connecting: Mapping[str, Any]) -> None:
        _, self._where = _POSTGRESQL.create_connect_args(url)  # type: ignore[no-untyped-call]
        self._where |= {**connecting, "connect_timeout": round(_TIMEOUT_SECONDS)}
        self._idle: list[psycopg.AsyncConnection[Any]] = []
        self._turn = anyio.Semaphore(_CONNECTIONS)

    async def one(
        self, query: Select[Any], parameters: Mapping[str, Any]
    ) -> Mapping[str, Any] | None:
        """Return the first row by the names of its columns. None if there is none."""
        compiled = _compiled(query, _POSTGRESQL)
        given = compiled.parameters(parameters)
        with explained(), anyio.fail_after(_TIMEOUT_SECONDS):
            return compiled.read(await self._ask(compiled.text, given))

    async def _ask(self, text: str, parameters: dict[str, Any]) -> tuple[Any, ...] | None:
        """Ask again if a connection has ended since it was used last: that is no news."""
        async with self._turn:
            while True:
                is_new = not self._idle
                connection = await self._connect() if is_new else self._idle.pop()
                try:
                    found = await connection.execute(text, parameters)
                    row: tuple[Any, ...] | None = await found.fetchone()
                    return row
                except psycopg.OperationalError:
                    if is_new or not connection.broken:
                        raise
                finally:
                    # One whose caller was cancelled has cancelled its statement as well.
                    if not connection.closed:
                        self._idle.append(connection)

    async def _connect(self) -> psycopg.AsyncConnection[Any]:
        return await psycopg.AsyncConnection.connect(**self._where, autocommit=True)

    async def close(self) -> None:
        """Close every connection."""
        while self._idle:
            await self._idle.pop().close()
