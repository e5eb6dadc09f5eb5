"""Turns at the connections of a database: some at once, and a line of bounded length.

In a line without bounds everybody waits longer than their client does, and a busy server
does its work for nobody. Whoever would stand too far back comes again later instead::

    requests ──▶ line of at most 1,000 ──▶ connections
             └─▶ 503, Retry-After
"""

from types import TracebackType

import anyio

from rensei_platform.store.trouble import BUSY, DatabaseError

MOST_WAITING = 1_000
"""About a second's worth, as a statement takes a millisecond of a core."""


class Turns:
    """Lets a number of tasks go on at once, and others wait in the order they came."""

    def __init__(self, at_once: int, *, most_waiting: int = MOST_WAITING) -> None:
        self._free = anyio.Semaphore(at_once)
        self._most_waiting = most_waiting

    async def acquire(self) -> None:
        """Wait for a turn. Raise `DatabaseError` if too many wait already."""
        waiting = self._free.statistics().tasks_waiting
        if self._free.value == 0 and waiting >= self._most_waiting:
            raise DatabaseError(BUSY)
        await self._free.acquire()

    def release(self) -> None:
        """Give the turn to the next one."""
        self._free.release()

    async def __aenter__(self) -> None:
        await self.acquire()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()
