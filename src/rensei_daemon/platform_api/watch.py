"""A stream's bytes, watched: how big an event grows, and how long the stream is silent.

A peer that trickles, floods or falls silent is noticed here; what its bytes mean is
decided elsewhere.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import anyio
import httpx

from rensei_daemon.core.sse import EventMeter
from rensei_daemon.errors import Failure, TransientError


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamLimits:
    """What one stream may cost us."""

    event_bytes: int = 1024 * 1024
    event_seconds: float = 30.0
    """From an event's first byte to its last, as far as we had to wait for them."""
    idle_seconds: float = 45.0
    """Least silence that counts as death, once the stream is known to have a pulse."""
    pulse: int = 3
    """Keepalives after which it is known to have one; until then silence is no sign."""
    idle_factor: float = 3.0
    """How many of its longest gaps a stream may be silent for."""


class WatchedBytes(httpx.AsyncByteStream):
    """Passes a stream's bytes on, and raises `TransientError` where it breaks a limit."""

    def __init__(
        self, source: AsyncIterator[bytes], limits: StreamLimits, *, max_age_seconds: float
    ) -> None:
        self._source = source
        self._limits = limits
        self._meter = EventMeter()
        self._noted_keepalives = 0
        self._longest_gap = 0.0
        self._event_waited = 0.0
        self._wait = anyio.CancelScope()
        self._gone = ""
        self.last_heard = anyio.current_time()
        self._ends_at = self.last_heard + max_age_seconds

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the bytes; stop between two events once the stream is old enough."""
        while (chunk := await self._next()) is not None:
            if wanted := self._meter.without_bom(chunk):
                self._check(wanted)
                yield wanted

    def note_keepalive(self) -> None:
        """Count an event that said nothing as a sign of life."""
        self._noted_keepalives += 1

    def give_up(self, complaint: str) -> None:
        """End the stream with this complaint: somebody knows that its peer is gone."""
        self._gone = complaint
        self._wait.cancel()

    async def _next(self) -> bytes | None:
        began = anyio.current_time()
        patience, complaint = self._patience(began)
        with anyio.move_on_after(patience) as self._wait:
            try:
                chunk = await anext(self._source)
            except StopAsyncIteration:
                raise TransientError("the stream ended", failure=Failure.BROKEN) from None
            self._heard(began)
            return chunk
        if complaint := self._gone or complaint:
            raise TransientError(complaint, failure=Failure.TIMEOUT)
        return None

    def _patience(self, now: float) -> tuple[float, str]:
        """Return how long to wait for the next byte, and the complaint if none comes.

        Only time spent waiting counts against an event: a slow reader of ours is not
        the platform's fault.
        """
        if self._gone:
            return 0.0, self._gone
        limits = self._limits
        waits = []
        if self._meter.is_open:
            left = max(0.0, limits.event_seconds - self._event_waited)
            waits.append((left, "an event of the stream did not complete in time"))
        else:
            waits.append((max(0.0, self._ends_at - now), ""))
        if self._meter.comments + self._noted_keepalives >= limits.pulse:
            idle = max(limits.idle_seconds, limits.idle_factor * self._longest_gap)
            waits.append((idle, "the stream fell silent"))
        return min(waits)

    def _heard(self, began: float) -> None:
        self.last_heard = anyio.current_time()
        gap = self.last_heard - began
        self._longest_gap = max(self._longest_gap, gap)
        self._event_waited += gap

    def _check(self, chunk: bytes) -> None:
        was_open, events = self._meter.is_open, self._meter.events
        self._meter.feed(chunk)
        if not was_open or self._meter.events > events:
            self._event_waited = 0.0  # another event began
        if self._meter.held_bytes > self._limits.event_bytes:
            raise TransientError("an event of the stream is larger than 1 MiB")
