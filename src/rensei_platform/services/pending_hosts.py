"""The hosts that a mutation waits for, and that are still to be notified: in memory."""

from collections.abc import Collection

import anyio

from rensei_platform.bus.messages import Bus, Message, Topic


class PendingHosts:
    """The hosts that are still to be notified, and what wakes the loop that does it."""

    def __init__(self, bus: Bus) -> None:
        self._heard: dict[str, None] = {}
        self._wake = anyio.Event()
        bus.subscribe(Topic.HOST_PENDING, self._hear)

    async def wait(self) -> Collection[str]:
        """Wait for mutations; return the ids of their hosts, each once."""
        await self._wake.wait()
        self._wake = anyio.Event()
        heard, self._heard = self._heard, {}
        return heard

    def _hear(self, message: Message) -> None:
        (host_id,) = message.ids
        self._heard[host_id] = None
        self._wake.set()
