"""Locks by name, between the tasks of a process and between the replicas of a database."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from sqlalchemy import text

from rensei_platform.store.engine import Store

RETRY_SECONDS = 0.05
MOST_CONNECTIONS = 4
"""How many of the pool's connections may hold a lock at the same time."""
_TRY = text("SELECT pg_try_advisory_xact_lock(:id)")


class Locks:
    """Named locks. A lock ends with its block, or with the process or its connection."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._held: dict[str, anyio.Lock] = {}
        self._connections = anyio.CapacityLimiter(MOST_CONNECTIONS)

    @property
    def names(self) -> list[str]:
        """The names that a task of this process holds or waits for."""
        return sorted(self._held)

    @asynccontextmanager
    async def hold(self, name: str) -> AsyncIterator[None]:
        """Hold the lock inside of the block. Raise UnavailableError without a database."""
        lock = self._held.setdefault(name, anyio.Lock())
        try:
            async with lock:
                if self._store.is_sqlite:  # one process has it to itself
                    yield
                else:
                    async with self._connections, self._advisory(name):
                        yield
        finally:
            state = lock.statistics()
            if not state.locked and not state.tasks_waiting:
                self._held.pop(name, None)

    @asynccontextmanager
    async def _advisory(self, name: str) -> AsyncIterator[None]:
        """Hold PostgreSQL's lock for one transaction, which works behind a pooler too.

        It is tried again and again, since the database bounds how long a statement waits.
        """
        number = {"id": _number(name)}
        async with self._store.write() as connection:
            while not await connection.scalar(_TRY, number):  # noqa: ASYNC110
                await anyio.sleep(RETRY_SECONDS)
            yield


def _number(name: str) -> int:
    """Return the lock's number: 64 bits, signed."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)
