"""What a server still has to do for rotations: in memory, by organization and rotation."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime

import anyio

from rensei_platform.bus.messages import Bus, Message, Topic


class Counted:
    """How many sessions of this process heard of a rotation that it asked for."""

    def __init__(self) -> None:
        self.count = 0
        self.confirmed = anyio.Event()
        """Set when another server has notified its own; see `wait_confirmed`."""

    async def wait_confirmed(self, seconds: float) -> None:
        """Wait until another server confirms, at most so long."""
        with anyio.move_on_after(seconds):
            await self.confirmed.wait()
        self.confirmed = anyio.Event()


class FanOutState:
    """The rotations that were heard of, and those that this server asked for."""

    def __init__(self, bus: Bus, now: datetime) -> None:
        self.last_reconciled = now
        self.silent: dict[str, datetime] = {}
        """Servers that did not confirm in time, by when each was seen last by then."""
        self._locks: defaultdict[str, anyio.Lock] = defaultdict(anyio.Lock)
        self._heard: defaultdict[str, list[str]] = defaultdict(list)
        self._wake = anyio.Event()
        self._own: dict[str, Counted] = {}
        bus.subscribe(Topic.ROTATION, self._hear)
        bus.subscribe(Topic.CONFIRMED, self._hear_confirmed)

    def lock(self, org_id: str) -> anyio.Lock:
        """Return the lock under which an organization's streams are notified."""
        return self._locks[org_id]

    async def wait(self) -> Mapping[str, list[str]]:
        """Wait for rotations that others ask for; return their ids by organization."""
        await self._wake.wait()
        self._wake = anyio.Event()
        heard, self._heard = self._heard, defaultdict(list)
        return heard

    @contextmanager
    def counting(self, rotation_id: str) -> Iterator[Counted]:
        """Count who hears of a rotation; it is to begin before others can know of it."""
        self._own[rotation_id] = counted = Counted()
        try:
            yield counted
        finally:
            del self._own[rotation_id]

    def counted(self, rotation_id: str) -> Counted:
        """Return the count of a rotation that this server asks for now."""
        return self._own[rotation_id]

    def note(self, counts: Mapping[str, int]) -> dict[str, int]:
        """Note what was counted here; return the counts that others ask for."""
        for rotation_id in self._own.keys() & counts:
            self._own[rotation_id].count += counts[rotation_id]
        return {id_: count for id_, count in counts.items() if id_ not in self._own}

    def _hear(self, message: Message) -> None:
        org_id, rotation_id = message.ids
        if rotation_id not in self._own:
            self._heard[org_id].append(rotation_id)
            self._wake.set()

    def _hear_confirmed(self, message: Message) -> None:
        (rotation_id,) = message.ids
        if rotation_id in self._own:
            self._own[rotation_id].confirmed.set()
