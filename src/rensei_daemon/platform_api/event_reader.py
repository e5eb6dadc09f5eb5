"""Reads the events of one stream, with limits on size, time and silence.

What the events mean is decided elsewhere.
"""

import zlib
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator

import anyio
import anyio.lowlevel

from rensei_daemon.core.sse import EventParser, ServerEvent
from rensei_daemon.errors import Failure, TransientError
from rensei_daemon.fast_dataclass import dataclass
from rensei_daemon.platform_api.gzip_decoder import GzipDecoder

SLICE_BYTES = 2048
"""Parsed without a pause; that many lines take two milliseconds."""
CRUMB_BYTES = 256
"""What a piece counts at least: to read one takes a tenth of a millisecond."""
EVENTS_A_TURN = 16
"""Returned before other tasks run; handling each takes a tenth of a millisecond."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamLimits:
    """Limits of one stream."""

    event_bytes: int = 1024 * 1024
    event_seconds: float = 30.0
    """From the first byte of an event to its last, counting only time spent waiting."""
    idle_seconds: float = 45.0
    """Shortest silence that ends the stream, once its keepalives are known."""
    keepalives: int = 3
    """Keepalives after which they are expected; before that, silence is allowed."""
    idle_factor: float = 3.0
    """A stream may be silent for this many times its longest gap so far."""


class EventReader:
    """Reads the events of a stream; raises `TransientError` when it exceeds a limit."""

    def __init__(
        self,
        source: AsyncIterator[bytes],
        limits: StreamLimits,
        *,
        max_age_seconds: float,
        decoder: GzipDecoder | None = None,
    ) -> None:
        """Read from `source`; `decoder` unpacks a compressed stream."""
        self._source = source
        self._limits = limits
        self._decoder = decoder
        self._parser = EventParser()
        self._pieces: Iterator[bytes] = iter(())
        """Of the last chunk; unpacked one by one."""
        self._read: deque[ServerEvent] = deque()
        self._handed_out = 0
        self._is_followed_up = True
        """Whether other tasks have run since the last event was returned."""
        self._parsed = 0
        """Bytes since the last pause; a crumb counts as more than it is."""
        self._noted_keepalives = 0
        self._longest_gap = 0.0
        self._event_waited = 0.0
        self._wait = anyio.CancelScope()
        self._fault: TransientError | None = None
        self.has_begun = False
        """Whether a byte has arrived."""
        self.last_heard = anyio.current_time()
        """When the last byte arrived, keepalives included."""
        self._ends_at = self.last_heard + max_age_seconds

    @property
    def retry_milliseconds(self) -> int | None:
        """The last `retry` field of the stream."""
        return self._parser.retry_milliseconds

    async def next_read(self) -> ServerEvent | None:
        """Return the next event that was read already; None if there is none."""
        if not self._read:
            return None
        self._handed_out += 1
        if self._handed_out % EVENTS_A_TURN == 0:
            await anyio.lowlevel.checkpoint()
        self._is_followed_up = False
        return self._read.popleft()

    async def read(self) -> bool:
        """Read the next piece; return False when the stream has reached its age limit.

        It ends only between events. Events before a fault are returned before the error.
        """
        if self._fault is not None:
            raise self._fault
        piece = self._next_piece()
        if piece is None:
            chunk = await self._next()
            if chunk is None:
                return False
            self.has_begun = True
            self._pieces = _slices(self._decoder.feed(chunk) if self._decoder else (chunk,))
            piece = self._next_piece()
        if piece is not None:
            # Other tasks run now and then: what has arrived already is returned without a
            # pause, be it unpacked from a little or cut into crumbs. A lone event has no
            # need of one.
            self._parsed += max(len(piece), CRUMB_BYTES)
            if self._parsed >= SLICE_BYTES:
                self._parsed = 0
                await anyio.lowlevel.checkpoint()
            self._parse(piece)
        return True

    def _next_piece(self) -> bytes | None:
        """Return the next piece of the last chunk; None if there is none."""
        try:
            return next(self._pieces, None)
        except zlib.error:
            raise TransientError("the compressed stream is damaged") from None

    def note_keepalive(self) -> None:
        """Count an event without content as a keepalive."""
        self._noted_keepalives += 1

    def give_up(self, complaint: str) -> None:
        """End the stream with this error message: its peer is dead."""
        self._fault = TransientError(complaint, failure=Failure.TIMEOUT)
        self._wait.cancel()

    async def _next(self) -> bytes | None:
        if not self._is_followed_up:
            # To prepare a wait takes as long as to return an event. A rotation may reach
            # many sessions: all that have theirs in this turn of the loop return it first.
            self._is_followed_up = True
            await anyio.lowlevel.checkpoint()
            if self._fault is not None:
                raise self._fault  # one of them has found that the peer is dead
        began = anyio.current_time()
        idle_limit, complaint = self._idle_limit(began)
        with anyio.CancelScope(deadline=began + idle_limit) as self._wait:
            try:
                chunk = await anext(self._source)
            except StopAsyncIteration:
                raise TransientError("the stream ended", failure=Failure.BROKEN) from None
            self._heard(began)
            return chunk
        if complaint and self._fault is None:
            self._fault = TransientError(complaint, failure=Failure.TIMEOUT)
        if self._fault is not None:
            raise self._fault
        return None

    def _idle_limit(self, now: float) -> tuple[float, str]:
        """Return how long to wait for the next byte, and the error message if none comes.

        Only time spent waiting counts against an event, not the time that its reader
        takes.
        """
        limits = self._limits
        waits = []
        if self._parser.is_open:
            left = max(0.0, limits.event_seconds - self._event_waited)
            waits.append((left, "an event of the stream did not complete in time"))
        else:
            waits.append((max(0.0, self._ends_at - now), ""))
        if self._parser.comments + self._noted_keepalives >= limits.keepalives:
            idle = max(limits.idle_seconds, limits.idle_factor * self._longest_gap)
            waits.append((idle, "the stream fell silent"))
        return min(waits)

    def _heard(self, began: float) -> None:
        self.last_heard = anyio.current_time()
        gap = self.last_heard - began
        self._longest_gap = max(self._longest_gap, gap)
        self._event_waited += gap

    def _parse(self, chunk: bytes) -> None:
        was_open = self._parser.is_open
        events = self._parser.feed(chunk)
        self._read += events
        if not was_open or events:
            self._event_waited = 0.0  # another event began
        if self._parser.held_bytes > self._limits.event_bytes:
            self._fault = TransientError("an event of the stream is larger than 1 MiB")


def _slices(pieces: Iterable[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        for start in range(0, len(piece), SLICE_BYTES):
            yield piece[start : start + SLICE_BYTES]
