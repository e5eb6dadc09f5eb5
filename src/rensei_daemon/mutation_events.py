"""Who listens for the event that a mutation waits, and what it wakes.

A stream that names this worker brings it. The sessions' streams do so once the platform has
offered it; as long as none does, the host has a stream of its own for it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import anyio

from rensei_daemon.wake_event import WakeEvent


class MutationEvents:
    """The worker that streams may name, and how many of the open ones do."""

    def __init__(self, wake_heartbeat: WakeEvent) -> None:
        self.worker_id: str | None = None
        """What a stream that is opened now may name; None if that was not offered."""
        self._wake_heartbeat = wake_heartbeat
        self._session_streams = 0
        self._end_own: Callable[[], None] = _nothing
        self._changed = anyio.Event()

    def offer(self, worker_id: str | None) -> None:
        """Note whether the newest heartbeat answer offered it, and to which worker."""
        if worker_id != self.worker_id:
            self.worker_id = worker_id
            self._change()

    @contextmanager
    def session_stream(self) -> Iterator[None]:
        """Count a session's open stream that names the worker."""
        self._session_streams += 1
        self._end_own()
        try:
            yield
        finally:
            self._session_streams -= 1
            self._change()

    @contextmanager
    def own_stream(self, end: Callable[[], None]) -> Iterator[None]:
        """Have the host's own stream ended when a session's brings the event."""
        self._end_own = end
        if self._session_streams:
            end()
        try:
            yield
        finally:
            self._end_own = _nothing

    def arrived(self) -> None:
        """Have a heartbeat sent: a mutation waits."""
        self._wake_heartbeat.set()

    async def wait_needed(self) -> str:
        """Wait until the host needs a stream of its own; return the worker to name."""
        while self.worker_id is None or self._session_streams:
            await self._changed.wait()
        return self.worker_id

    def _change(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


def _nothing() -> None:
    """End no stream: there is none."""
