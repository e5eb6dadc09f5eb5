"""Peers that went without a word, noticed a moment before the kernel notices them.

A silent stream is kept alive by the kernel alone: it asks the peer after 15 s of silence
and every 10 s from then on, and gives the connection up when three probes went
unanswered. Its timers are coarse: what is set to 45 s ends after 45.7 s (measured, Linux
6.18). So whoever must know after 45 s has to look a moment earlier at what the kernel
knows. A peer that answers its probes is never taken for gone, however long it is silent.

Where the kernel does not tell (no Linux, a connection that is no socket), the end of the
connection is left to it.
"""

import socket
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import anyio

GONE_AFTER_SECONDS = 44.0
"""Of silence, probes included; the second that is left is for us to say so."""

PROBES = 3
"""That went unanswered by then: after 15, 25 and 35 s of silence (see `transport`)."""

LOOK_AGAIN_SECONDS = 1.0
"""At a peer that is silent for too long but was not asked often enough, as after a host
has slept: it may be well."""

_TCP_INFO = struct.Struct("@8B13I")
"""The head of Linux's `struct tcp_info`, as it is since 2.6 (linux/tcp.h)."""
_PROBES, _LAST_DATA_RECEIVED, _LAST_ACK_RECEIVED = 3, 19, 20
"""Which of its fields: a count, and two ages in milliseconds."""

GiveUp = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class UnansweredProbes:
    """What the kernel has not heard of a peer."""

    seconds: float
    """Since anything of it arrived: a byte, or an answer to a probe."""
    probes: int
    """Sent since then."""

    def is_final(self, after_seconds: float, probes: int) -> bool:
        """Whether that is what a peer that is gone would say."""
        return self.seconds >= after_seconds and self.probes >= probes


def read_tcp_info(raw: bytes) -> UnansweredProbes | None:
    """Read a `struct tcp_info`; None for one that is cut short."""
    if len(raw) < _TCP_INFO.size:
        return None
    found = _TCP_INFO.unpack_from(raw)
    milliseconds = min(found[_LAST_DATA_RECEIVED], found[_LAST_ACK_RECEIVED])
    return UnansweredProbes(seconds=milliseconds / 1000, probes=found[_PROBES])


def silence_of(connection: socket.socket) -> UnansweredProbes | None:
    """Ask the kernel about a peer; None when it does not tell."""
    if sys.platform != "linux":
        return None
    try:
        raw = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
    except OSError:  # no TCP, or closed meanwhile
        return None
    return read_tcp_info(raw)


class DeadPeerDetector:
    """One pair of eyes for every open stream."""

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

    @contextmanager
    def watching(self, connection: socket.socket | None, give_up: GiveUp) -> Iterator[None]:
        """Watch over a connection; `give_up` is told why when its peer is gone."""
        if connection is None:
            yield
            return
        self._watched[connection] = give_up
        try:
            yield
        finally:
            del self._watched[connection]

    async def run(self) -> None:
        """Look at each connection whenever its peer could be gone; never returns.

        One that comes in while this sleeps cannot be due before it wakes.
        """
        while True:
            waits = [self._check(*watched) for watched in self._watched.items()]
            await anyio.sleep(min(waits, default=self._gone_after))

    def _check(self, connection: socket.socket, give_up: GiveUp) -> float:
        """Return the seconds until the peer could be gone."""
        silence = silence_of(connection)
        if silence is None:
            return self._gone_after
        if silence.is_final(self._gone_after, self._probes):
            give_up("the peer answers no keepalive")
            return self._gone_after
        left = self._gone_after - silence.seconds
        return left if left > 0 else LOOK_AGAIN_SECONDS
