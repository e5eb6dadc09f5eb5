"""An HTTP server whose every octet the test decides."""

import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import anyio
from anyio.abc import ByteStream, Listener, SocketAttribute
from anyio.streams.tls import TLSListener


@dataclass(frozen=True)
class Request:
    """What came in."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


Answer = bytes | Callable[[ByteStream], Awaitable[None]]
"""The whole response, or who writes it."""


@dataclass
class SmallServer:
    """A server that listens."""

    address: str
    requests: list[Request] = field(default_factory=list)


def answer(status: int, body: object = None, *headers: str) -> bytes:
    """Return a response; a body that is not bytes is sent as JSON."""
    octets = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [
        f"HTTP/1.1 {status} Status",
        *headers,
        f"Content-Length: {len(octets)}",
        "",
        "",
    ]
    return "\r\n".join(lines).encode() + octets


@asynccontextmanager
async def small_server(
    respond: Callable[[Request], Answer], tls: ssl.SSLContext | None = None
) -> AsyncIterator[SmallServer]:
    """Serve one request a connection; stop at the end of the block."""
    listener: Listener[Any] = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(SocketAttribute.local_port)  # noqa: S610 - no SQL here
    server = SmallServer(f"{'https' if tls else 'http'}://127.0.0.1:{port}")
    if tls is not None:
        listener = TLSListener(listener, tls, standard_compatible=False)

    async def handle(stream: ByteStream) -> None:
        with suppress(anyio.BrokenResourceError, anyio.EndOfStream):
            async with stream:
                request = await _read(stream)
                server.requests.append(request)
                response = respond(request)
                if isinstance(response, bytes):
                    await stream.send(response)
                else:
                    await response(stream)

    async with listener, anyio.create_task_group() as serving:
        serving.start_soon(listener.serve, handle)
        yield server
        serving.cancel_scope.cancel()


async def _read(stream: ByteStream) -> Request:
    octets = b""
    while b"\r\n\r\n" not in octets:
        octets += await stream.receive()
    head, _, body = octets.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers: dict[str, Any] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        headers[name.lower()] = value
    while len(body) < int(headers.get("content-length", 0)):
        body += await stream.receive()
    method, target, _ = first.split(" ")
    return Request(method, target, headers, body)
