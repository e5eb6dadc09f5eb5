"""The one writer of SQLite: transactions that wait for each other share a commit.

A commit waits for the disk, for milliseconds, and SQLite takes one at a time. So the first
of a group leaves its transaction open to those who wait already, each in a savepoint of
its own, and all of them go on when the one commit is durable::

    first    BEGIN  write ───────────────────────────── COMMIT ──▶ goes on
    second   (waits)       SAVEPOINT  write  RELEASE           └─▶ goes on

One that raises undoes its own part. If the database fails, the whole group has failed.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

MOST_TOGETHER = 64
"""Transactions of a group: the first of them waits for all the others."""


@dataclass
class _Group:
    """Transactions that share a commit."""

    connection: AsyncConnection
    size: int = 1
    error: DBAPIError | None = None
    """Why none of them is stored."""
    ended: anyio.Event = field(default_factory=anyio.Event)
    release_first: Callable[[], None] = lambda: None
    """Called at the end, if another than the first ends it."""

    async def end(self) -> None:
        """Commit, or undo everything after an error; never raise a database's error."""
        try:
            try:
                if self.error is None:
                    await self.connection.commit()
                else:
                    await self.connection.rollback()
            finally:
                await self.connection.close()
        except DBAPIError as error:
            self.error = self.error or error
        finally:
            self.ended.set()
            self.release_first()


class GroupCommit:
    """Lends the connection that writes to one task at a time."""

    def __init__(self, engine: AsyncEngine, check: Callable[[], None]) -> None:
        """`check` raises if the database must not be written now."""
        self._engine, self._check = engine, check
        self.turn = anyio.Lock()
        """Its waiters have it in the order in which they came."""
        self._group: _Group | None = None
        """The open group, which the next turn joins; None if there is none."""

    @asynccontextmanager
    async def begun(self) -> AsyncIterator[AsyncConnection]:
        """Lend the connection for one turn, and end it.

        What the block writes is durable when this ends. It must not be cancelled. Raise
        the error of the database if the group has failed.
        """
        if self._group is None:
            async with self._first() as group:
                yield group.connection
        else:
            async with self._joining(self._group) as group:
                yield group.connection
        if group.error is not None:
            raise group.error

    @asynccontextmanager
    async def _first(self) -> AsyncIterator[_Group]:
        try:
            group = _Group(await self._begun())
            try:
                yield group
            except BaseException:
                await group.connection.close()  # which undoes it; nobody has joined yet
                raise
        except BaseException:
            self.turn.release()
            raise
        self._group = group
        self.turn.release()
        await self._end_after_others(group)

    async def _begun(self) -> AsyncConnection:
        self._check()
        connection = await self._engine.connect()
        try:
            await connection.begin()
        except BaseException:
            await connection.close()
            raise
        return connection

    async def _end_after_others(self, group: _Group) -> None:
        """Let those who wait already join, then end the group unless one of them has."""
        with anyio.CancelScope(shield=True) as waiting:
            group.release_first = waiting.cancel
            async with self.turn:
                if not group.ended.is_set():
                    group.release_first = lambda: None
                    await self._end(group)

    @asynccontextmanager
    async def _joining(self, group: _Group) -> AsyncIterator[_Group]:
        try:
            try:
                async with group.connection.begin_nested():
                    yield group
            except (DataError, IntegrityError):
                raise
            except DBAPIError as error:
                group.error = error  # it may have undone the whole transaction
                raise
            finally:
                group.size += 1
                if group.size >= MOST_TOGETHER or group.error is not None:
                    await self._end(group)
        finally:
            self.turn.release()
        await group.ended.wait()

    async def _end(self, group: _Group) -> None:
        self._group = None
        await group.end()
