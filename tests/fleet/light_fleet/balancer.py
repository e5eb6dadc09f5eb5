"""A load balancer between the hosts and the servers, which notes every request.

Each connection goes to the next server that accepts it, and is closed if there is none.
While there is a `refusal`, every request is answered 503 here, as by a gateway whose
servers are away. A request is noted when its head arrives, and again when the first byte
of its answer does; the hosts send a head in one piece, and no request before the last one
is answered.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import cast

HEAD_BYTES = 1024
"""Of an answer, in which its headers are looked for."""
_METHODS = (b"POST ", b"GET ")
_KINDS = {
    b"/heartbeat": "heartbeat",
    b"/register": "register",
    b"/refresh-token": "refresh",
    b"/rotate-stream": "stream",
    b"/snapshot": "snapshot",
}


@dataclass(slots=True)
class Arrival:
    """One request."""

    at: float
    """By `time.monotonic`, which all processes of a machine share."""
    kind: str
    status: int = 0
    """0 until there is an answer."""
    seconds: float = 0.0
    """Until the first byte of the answer."""
    asks_to_wait: bool = False
    """Whether the answer has a Retry-After."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """How requests are refused."""

    retry_after: int | None = None

    def answer(self) -> bytes:
        """Return the whole answer."""
        more = "" if self.retry_after is None else f"Retry-After: {self.retry_after}\r\n"
        body = '{"error":"The service is unavailable"}'
        return (
            "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n{more}\r\n{body}"
        ).encode()


class Balancer:
    """Distributes connections, and notes requests."""

    def __init__(self, ports: Sequence[int]) -> None:
        self.ports = ports
        self.arrivals: list[Arrival] = []
        self.refusal: Refusal | None = None
        self.clients: set[_Client] = set()
        self._next = 0

    def refuse(self, refusal: Refusal) -> None:
        """Close what is open, and refuse every request from now on."""
        self.refusal = refusal
        for client in tuple(self.clients):
            client.transport.abort()

    def order(self) -> list[int]:
        """Return the servers' ports in the order in which to try them."""
        self._next = (self._next + 1) % len(self.ports)
        return [*self.ports[self._next :], *self.ports[: self._next]]


class _Client(asyncio.Protocol):
    """A connection of a host."""

    def __init__(self, balancer: Balancer) -> None:
        self._balancer = balancer
        self._server: asyncio.Transport | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._early = b""
        """What arrived before there was a server."""
        self._arrival: Arrival | None = None
        self._is_refused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._balancer.clients.add(self)

    def data_received(self, data: bytes) -> None:
        if data.startswith(_METHODS):
            self._arrival = Arrival(time.monotonic(), _kind(data))
            self._balancer.arrivals.append(self._arrival)
            refusal = self._balancer.refusal
            self._is_refused = refusal is not None
            if refusal is not None:
                self.answer(refusal.answer())
                return
        if self._is_refused:
            return  # the body of what was refused
        if self._server is not None:
            self._server.write(data)
            return
        self._early += data
        if self._connecting is None:
            self._connecting = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        for port in self._balancer.order():
            try:
                self._server, _ = await loop.create_connection(
                    lambda: _Server(self), "127.0.0.1", port
                )
            except OSError:
                continue
            self._server.write(self._early)
            if self.transport.is_closing():
                self._server.abort()
            return
        self.transport.abort()

    def answer(self, data: bytes) -> None:
        """Write a part of an answer."""
        arrival, self._arrival = self._arrival, None
        if arrival is not None:
            arrival.status = int(data[9:12])
            arrival.seconds = time.monotonic() - arrival.at
            arrival.asks_to_wait = b"\r\nretry-after:" in data[:HEAD_BYTES].lower()
        self.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._balancer.clients.discard(self)
        if self._server is not None:
            self._server.abort()


class _Server(asyncio.Protocol):
    """A connection to a server."""

    def __init__(self, client: _Client) -> None:
        self._client = client

    def data_received(self, data: bytes) -> None:
        self._client.answer(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._client.transport.close()


def _kind(head: bytes) -> str:
    path = head.split(b" ", 2)[1].partition(b"?")[0]
    return next((kind for end, kind in _KINDS.items() if path.endswith(end)), "other")


@asynccontextmanager
async def balancing(balancer: Balancer) -> AsyncIterator[str]:
    """Balance while the block runs; lend the URL for hosts."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: _Client(balancer), "127.0.0.1", 0, backlog=4096
    )
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.close()
        for client in tuple(balancer.clients):
            client.transport.abort()
