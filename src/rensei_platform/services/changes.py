"""Who wants to hear that something of an organization has changed: pages that are open.

A change is noted where it is committed. Every server hears of it by the bus: at once, but
at most once a second, in one message an organization, whatever has changed.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import anyio

from rensei_platform.bus.messages import Bus, Message, Topic

TELL_SECONDS = 1.0
"""Between two messages about an organization."""


class Watcher:
    """One page; it waits until there is something new, or its time is over."""

    def __init__(self) -> None:
        self._news = anyio.Event()
        self.is_over = False

    async def wait(self) -> None:
        """Return when something has changed since the last return, or at the end."""
        await self._news.wait()
        if not self.is_over:
            self._news = anyio.Event()

    def wake(self) -> None:
        """Let it return once more."""
        self._news.set()

    def end(self) -> None:
        """Let it return for good."""
        self.is_over = True
        self._news.set()


class Changes:
    """The watchers of this server, by organization."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._watchers: dict[str, list[Watcher]] = {}
        self._untold: set[str] = set()
        self._has_untold = anyio.Event()
        bus.subscribe(Topic.ORG_CHANGED, lambda message: self._wake(message.ids[0]))
        bus.subscribe(Topic.ROTATION, lambda message: self._wake(message.ids[0]))
        bus.subscribe(Topic.KEY_REVOKED, lambda _: self._wake_all())

    def __len__(self) -> int:
        """Return how many watch."""
        return sum(map(len, self._watchers.values()))

    def note(self, org_id: str) -> None:
        """Note that something of an organization has changed."""
        self._untold.add(org_id)
        self._has_untold.set()

    def _wake(self, org_id: str) -> None:
        for watcher in self._watchers.get(org_id, ()):
            watcher.wake()

    def _wake_all(self) -> None:
        """Let every page see whether its session lives on."""
        for org_id in self._watchers:
            self._wake(org_id)

    @contextmanager
    def watching(self, org_id: str) -> Iterator[Watcher]:
        """Lend what hears of an organization while the block runs."""
        watcher = Watcher()
        self._watchers.setdefault(org_id, []).append(watcher)
        try:
            yield watcher
        finally:
            of_org = self._watchers[org_id]
            of_org.remove(watcher)
            if not of_org:
                del self._watchers[org_id]

    def end_all(self) -> None:
        """End every watcher: the server stops."""
        for of_org in self._watchers.values():
            for watcher in of_org:
                watcher.end()

    async def tell_regularly(self) -> None:
        """Tell every server, this one too, what was noted; for ever."""
        while True:
            await self._has_untold.wait()
            self._has_untold = anyio.Event()
            untold, self._untold = self._untold, set()
            for org_id in untold:
                await self._bus.publish(Message(Topic.ORG_CHANGED, (org_id,)))
            await anyio.sleep(TELL_SECONDS)
