"""Detects a dead peer of an open stream within 45 s, from what the kernel knows.

The kernel sends keepalive probes: the first after 15 s of silence, then one every 10 s.
After three unanswered probes it closes the connection, but its timers are coarse: a limit
of 45 s ends after 45.7 s (measured, Linux 6.18). So the state of the connection is read
from the kernel a moment earlier. A peer that answers the probes is never considered dead,
however long it sends nothing.

Where the state cannot be read (not Linux, not a socket), the kernel closes the connection.
"""

import socket
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import anyio

from rensei_daemon.fast_dataclass import dataclass

GONE_AFTER_SECONDS = 44.0
"""Seconds without an answer to a probe; the rest of 45 s is spent on reporting it."""

PROBES = 3
"""Unanswered by then: sent after 15, 25 and 35 s of silence (see `transport`)."""

LOOK_AGAIN_SECONDS = 1.0
"""When a peer is silent for too long, but has not been sent three probes, as after this
host was suspended."""

_TCP_INFO = struct.Struct("@8B13I")
"""The first fields of `struct tcp_info` of Linux since 2.6 (linux/tcp.h)."""
_PROBES, _LAST_DATA_RECEIVED, _LAST_ACK_RECEIVED = 3, 19, 20
"""Indexes of fields: a count, and two ages in milliseconds."""

GiveUp = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class UnansweredProbes:
    """How long a peer has been silent, and how many probes it has not answered."""

    seconds: float
    """Since the last byte or answer to a probe arrived."""
    probes: int
    """Sent since then."""

    def is_final(self, after_seconds: float, probes: int) -> bool:
        """Whether the peer is dead."""
        return self.seconds >= after_seconds and self.probes >= probes


def read_tcp_info(raw: bytes) -> UnansweredProbes | None:
    """Read a `struct tcp_info`; None if it is too short."""
    if len(raw) < _TCP_INFO.size:
        return None
    found = _TCP_INFO.unpack_from(raw)
    milliseconds = min(found[_LAST_DATA_RECEIVED], found[_LAST_ACK_RECEIVED])
    return UnansweredProbes(seconds=milliseconds / 1000, probes=found[_PROBES])


def silence_of(connection: socket.socket) -> UnansweredProbes | None:
    """Ask the kernel about a peer; None if it does not know."""
    if sys.platform != "linux":
        return None
    try:
        raw = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
    except OSError:  # not TCP, or closed meanwhile
        return None
    return read_tcp_info(raw)


class DeadPeerDetector:
    """Watches the connections of all open streams."""

    def __init__(
        self, *, gone_after_seconds: float = GONE_AFTER_SECONDS, probes: int = PROBES
    ) -> None:
        self._gone_after = gone_after_seconds
        self._probes = probes
        self._watched: dict[socket.socket, GiveUp] = {}

    @property
    def count(self) -> int:
        """How many connections are watched."""
        return len(self._watched)

    def watched(self) -> list[tuple[socket.socket, GiveUp]]:
        """Return the connections that are watched, and how to end their streams."""
        return list(self._watched.items())

    @contextmanager
    def watching(self, connection: socket.socket | None, give_up: GiveUp) -> Iterator[None]:
        """Watch a connection; `give_up` is called with the reason to end its stream."""
        if connection is None:
            yield
            return
        self._watched[connection] = give_up
        try:
            yield
        finally:
            del self._watched[connection]

    async def run(self) -> None:
        """Check each connection when its peer could be dead; never return.

        A connection that is added during the sleep cannot be due before its end.
        """
        while True:
            waits = [self._check(*watched) for watched in self._watched.items()]
            await anyio.sleep(min(waits, default=self._gone_after))

    def _check(self, connection: socket.socket, give_up: GiveUp) -> float:
        """Return the seconds until the peer could be dead."""
        silence = silence_of(connection)
        if silence is None:
            return self._gone_after
        if silence.is_final(self._gone_after, self._probes):
            give_up("the peer answers no keepalive")
            return self._gone_after
        left = self._gone_after - silence.seconds
        return left if left > 0 else LOOK_AGAIN_SECONDS
