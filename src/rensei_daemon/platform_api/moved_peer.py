"""Notices that the platform's name leads to other addresses, and has connections follow.

An old server that still runs keeps a stream open, and sends nothing on it once the others
have its place. So the name is looked up now and then. Its rules:

- An address counts for some minutes after it was last named: a large platform may name
  a few of its addresses at a time.
- A lookup that fails, or takes too long, changes nothing.
- Running requests are completed on their old connections.
"""

import socket
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress

import anyio

from rensei_daemon.core.urls import address_of
from rensei_daemon.fast_dataclass import dataclass, field
from rensei_daemon.platform_api.dead_peer import DeadPeerDetector

LOOK_SECONDS = 60.0
MOVED_AFTER_SECONDS = 300.0
"""How long an address counts after it was last named."""
LOOKUP_SECONDS = 5.0

LookUp = Callable[[str], Awaitable[Iterable[str]]]


async def addresses_of(host: str) -> list[str]:
    """Return the addresses of a name; raises `OSError` and `TimeoutError`."""
    with anyio.fail_after(LOOKUP_SECONDS):
        found = await anyio.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return [str(at[0]) for *_, at in found]


@dataclass
class MovedPeerDetector:
    """Ends the streams to addresses that the platform, or its proxy, no longer has."""

    host: str
    streams: DeadPeerDetector
    on_move: Callable[[], Awaitable[None]]
    """Called when an address is no longer named, to replace idle connections."""
    look_up: LookUp = addresses_of
    look_seconds: float = LOOK_SECONDS
    moved_after_seconds: float = MOVED_AFTER_SECONDS
    _named_at: dict[str, float] = field(default_factory=dict, init=False)
    """When each address was last named, or first seen as that of a stream."""

    async def run(self) -> None:
        """Look the name up every minute; never return. An address never moves."""
        if address_of(self.host) is not None:
            await anyio.sleep_forever()
        while True:
            await anyio.sleep(self.look_seconds)
            await self.look()

    async def look(self) -> None:
        """Look the name up once."""
        with suppress(OSError, UnicodeError):  # a timeout is an OSError
            named = set(map(_plain, await self.look_up(self.host)))
            if named and self._note(named, anyio.current_time()):
                self._end_streams()
                await self.on_move()

    def _note(self, named: set[str], now: float) -> bool:
        """Record what is named; return whether an address is no longer one."""
        for connection, _ in self.streams.watched():
            if peer := _peer_of(connection):
                self._named_at.setdefault(peer, now)
        self._named_at.update(dict.fromkeys(named, now))
        gone = [
            address
            for address, at in self._named_at.items()
            if address not in named and now - at >= self.moved_after_seconds
        ]
        for address in gone:
            del self._named_at[address]
        return bool(gone)

    def _end_streams(self) -> None:
        for connection, give_up in self.streams.watched():
            if (peer := _peer_of(connection)) and peer not in self._named_at:
                give_up(f"its name no longer leads to {peer} (DNS)")


def _peer_of(connection: socket.socket) -> str:
    """Return the address at the other end; empty if it is closed."""
    try:
        return _plain(connection.getpeername()[0])
    except OSError:
        return ""


def _plain(address: str) -> str:
    """Return the one spelling of an address."""
    return str(address_of(address))
