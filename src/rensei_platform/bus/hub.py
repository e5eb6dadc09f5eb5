"""The live streams of this process.

The hub writes to a stream without waiting. A reader that is slower than what happens is
dropped; it takes a snapshot when it is back.
"""

import random
from collections.abc import Collection, Iterator
from typing import Protocol

import anyio


class Stream(Protocol):
    """One listener, by the key and the session id it came with."""

    org_id: str
    key_id: str
    session_id: str
    """Empty for a stream that is not a session's: it hears of mutations alone."""
    host_id: str | None
    """The host that hears of its mutations here, if that is known."""
    version: int
    """Of the organization's values, up to which it has been notified of rotations."""

    def push(self, frame: bytes) -> bool:
        """Send a frame; False if the stream has ended, or its reader is too slow."""

    def keep_alive(self) -> None:
        """Send a keepalive; drop a reader that has not caught up since the last one."""

    def end(self) -> None:
        """Send nothing more, and close the connection."""

    def abort(self) -> None:
        """Close the connection, whatever is still to be sent."""


class Hub:
    """The streams of this process, by organization and by the host that they name."""

    def __init__(self) -> None:
        self._streams: dict[str, set[Stream]] = {}
        self._of_host: dict[str, tuple[Stream, ...]] = {}
        self._count = 0
        self.is_ending = False
        """Whether the server stops, and no stream should be opened any more."""

    def __len__(self) -> int:
        """Return how many streams are open."""
        return self._count

    def open(self, stream: Stream) -> None:
        """Add a stream."""
        self._streams.setdefault(stream.org_id, set()).add(stream)
        if stream.host_id is not None:
            self._of_host[stream.host_id] = (*self.of_host(stream.host_id), stream)
        self._count += 1

    def close(self, stream: Stream) -> None:
        """Forget a stream."""
        of_org = self._streams[stream.org_id]
        of_org.remove(stream)
        if stream.host_id is not None:
            left = tuple(s for s in self.of_host(stream.host_id) if s is not stream)
            self._of_host[stream.host_id] = left
            if not left:
                del self._of_host[stream.host_id]
        self._count -= 1
        if not of_org:
            del self._streams[stream.org_id]

    def orgs(self) -> tuple[str, ...]:
        """Return the organizations that have a stream here."""
        return tuple(self._streams)

    def of_org(self, org_id: str) -> tuple[Stream, ...]:
        """Return the streams of an organization's sessions."""
        return tuple(s for s in self._streams.get(org_id, ()) if s.session_id)

    def of_host(self, host_id: str) -> tuple[Stream, ...]:
        """Return the streams on which a host hears of its mutations."""
        return self._of_host.get(host_id, ())

    def all(self) -> Iterator[Stream]:
        """Yield every stream."""
        for org_id in tuple(self._streams):
            yield from tuple(self._streams.get(org_id, ()))

    def end_of_keys(self, key_ids: Collection[str]) -> None:
        """End the streams that were opened with one of these keys."""
        for stream in self.all():
            if stream.key_id in key_ids:
                stream.end()

    def end_all(self) -> None:
        """End every stream."""
        for stream in self.all():
            stream.end()

    def abort_all(self) -> None:
        """Close every stream's connection."""
        for stream in self.all():
            stream.abort()


async def keep_alive(hub: Hub, seconds: float, slices: int = 50) -> None:
    """Send each stream a keepalive every `seconds`, a slice of them at a time, for ever."""
    while True:
        streams = tuple(hub.all())
        for part in range(slices):
            await anyio.sleep(seconds / slices)
            for stream in streams[part::slices]:
                stream.keep_alive()


async def end_spread(hub: Hub, seconds: float, most_per_second: float = 500.0) -> None:
    """End every stream, in random order and spread over at most `seconds`.

    So those who listened do not come to another server all at once. A few streams take
    no longer than `most_per_second` asks for.
    """
    streams = list(hub.all())
    random.shuffle(streams)
    begun, spread = anyio.current_time(), min(seconds, len(streams) / most_per_second)
    for number, stream in enumerate(streams):
        delay = begun + spread * number / len(streams) - anyio.current_time()
        if delay > 0:
            await anyio.sleep(delay)
        stream.end()
