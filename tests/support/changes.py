"""Lets an event loop wait for what happens in another thread."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import anyio


class Changes:
    """Tells the loops that listen that something has changed."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[], object]] = []

    def notify(self) -> None:
        """Have every listener called in its own loop; any thread may call this."""
        for listener in tuple(self._listeners):
            listener()

    @contextmanager
    def calling(self, callback: Callable[[], object]) -> Iterator[None]:
        """Call `callback` in this loop after each change while the block runs."""
        loop = asyncio.get_running_loop()

        def listener() -> None:
            loop.call_soon_threadsafe(callback)

        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until the condition holds; it is evaluated after each change."""
        changed = anyio.Event()

        def wake() -> None:
            changed.set()

        with self.calling(wake):
            while not condition():
                await changed.wait()
                changed = anyio.Event()
