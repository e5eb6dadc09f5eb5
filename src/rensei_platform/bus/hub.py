"""The live streams of this process, and what is still to be sent on them.

A stream holds no task: who serves it waits for `wait` and sends what `take` returns. A
reader that is slower than what happens is dropped; it takes a snapshot when it is back.
"""

from collections import deque
from collections.abc import Iterator

import anyio

KEEPALIVE = b": keepalive\n\n"
MOST_PENDING_BYTES = 1 << 20
"""Of one stream; a reader with more to read is dropped."""


class Stream:
    """One listener, by the key and the session id it came with."""

    __slots__ = (
        "_frames",
        "_pending_bytes",
        "_waiter",
        "is_ended",
        "key_id",
        "org_id",
        "session_id",
    )

    def __init__(self, org_id: str, key_id: str, session_id: str) -> None:
        self.org_id, self.key_id, self.session_id = org_id, key_id, session_id
        self.is_ended = False
        self._frames: deque[bytes] = deque()
        self._pending_bytes = 0
        self._waiter: anyio.Event | None = None

    def push(self, frame: bytes) -> bool:
        """Have a frame sent; False, and the end of the stream, if too much is waiting."""
        if self.is_ended or self._pending_bytes + len(frame) > MOST_PENDING_BYTES:
            self.end()
            return False
        self._frames.append(frame)
        self._pending_bytes += len(frame)
        self.wake()
        return True

    def keep_alive(self) -> None:
        """Have a keepalive sent, unless something else is about to be."""
        if not self._frames:
            self.push(KEEPALIVE)

    def end(self) -> None:
        """Send nothing more."""
        self.is_ended = True
        self.wake()

    def wake(self) -> None:
        """Let the one that waits go on."""
        if self._waiter is not None:
            self._waiter.set()

    def take(self) -> bytes:
        """Return everything that is to be sent, as one piece; empty if nothing is."""
        frames = b"".join(self._frames)
        self._frames.clear()
        self._pending_bytes = 0
        return frames

    async def wait(self) -> None:
        """Wait until there is something to send, or the stream ends."""
        if self._frames or self.is_ended:
            return
        self._waiter = anyio.Event()
        await self._waiter.wait()
        self._waiter = None


class Hub:
    """The streams of this process by organization."""

    def __init__(self) -> None:
        self._streams: dict[str, set[Stream]] = {}
        self._count = 0

    def __len__(self) -> int:
        """Return how many streams are open."""
        return self._count

    def open(self, org_id: str, key_id: str, session_id: str) -> Stream:
        """Return a new stream."""
        stream = Stream(org_id, key_id, session_id)
        self._streams.setdefault(org_id, set()).add(stream)
        self._count += 1
        return stream

    def close(self, stream: Stream) -> None:
        """Forget a stream."""
        of_org = self._streams[stream.org_id]
        of_org.remove(stream)
        self._count -= 1
        if not of_org:
            del self._streams[stream.org_id]

    def of_org(self, org_id: str) -> tuple[Stream, ...]:
        """Return the streams of an organization."""
        return tuple(self._streams.get(org_id, ()))

    def all(self) -> Iterator[Stream]:
        """Yield every stream."""
        for org_id in tuple(self._streams):
            yield from self.of_org(org_id)

    def end_of_key(self, key_id: str) -> None:
        """End the streams that were opened with a key."""
        for stream in self.all():
            if stream.key_id == key_id:
                stream.end()

    def end_all(self) -> None:
        """End every stream."""
        for stream in self.all():
            stream.end()


async def keep_alive(hub: Hub, seconds: float, slices: int = 50) -> None:
    """Send each stream a keepalive every `seconds`, a slice of them at a time, for ever."""
    while True:
        streams = tuple(hub.all())
        for part in range(slices):
            await anyio.sleep(seconds / slices)
            for stream in streams[part::slices]:
                stream.keep_alive()
