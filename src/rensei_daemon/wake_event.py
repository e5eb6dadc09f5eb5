"""Signals between tasks: an event that wakes one loop, a cycle that all may await."""

import anyio


class WakeEvent:
    """An event that resets itself: set any number of times, it wakes its loop once."""

    def __init__(self) -> None:
        self._event = anyio.Event()
        self._wait: anyio.CancelScope | None = None

    @property
    def is_set(self) -> bool:
        """Whether the next wait will end at once."""
        return self._event.is_set()

    def set(self) -> None:
        """Wake the task that waits, or the next one that does."""
        self._event.set()

    def shorten(self, within: float) -> None:
        """Have the wait that is under way, if any, last at most so many seconds more."""
        if self._wait is not None:
            self._wait.deadline = min(self._wait.deadline, anyio.current_time() + within)

    async def wait(self, within: float | None = None) -> bool:
        """Wait until it is set, at most `within` seconds; return whether it was set."""
        with anyio.move_on_after(within) as self._wait:
            await self._event.wait()
        self._wait = None
        was_set = self._event.is_set()
        if was_set:
            self._event = anyio.Event()
        return was_set


class Cycle:
    """The iterations of a loop; a task may wait for the end of a whole one.

    An iteration that is already running does not count: it may have read its input before.
    There is an event only while a task waits: hosts have many loops, and an event takes
    a kilobyte.
    """

    def __init__(self) -> None:
        self._under_way: anyio.Event | None = None
        self._next: anyio.Event | None = None

    def begin(self) -> None:
        """Note that an iteration begins."""
        self._under_way, self._next = self._next, None

    def end(self) -> None:
        """Note that the iteration has ended."""
        if self._under_way is not None:
            self._under_way.set()

    async def wait_next(self) -> None:
        """Wait for the end of the next iteration that begins."""
        if self._next is None:
            self._next = anyio.Event()
        await self._next.wait()
