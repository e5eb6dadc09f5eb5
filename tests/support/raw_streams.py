"""A raw reader of a rotate stream, which reads only when it is told to."""

import json
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import anyio
from anyio.abc import SocketStream

PATH = "/api/daemon/credentials/rotate-stream"
HELLO = b": hello\n\n"


class RawStream:
    """An open stream on a connection of its own."""

    def __init__(self, connection: SocketStream) -> None:
        self.connection = connection
        self._buffer = b""

    @classmethod
    async def open(
        cls, url: str, key: str, session_id: str = "s", *, receive_bytes: int | None = None
    ) -> "RawStream":
        """Open a stream; `receive_bytes` makes what the kernel takes in small."""
        host, port = url.removeprefix("http://").split(":")
        raw = socket.socket()
        if receive_bytes is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        raw.setblocking(False)
        connection = await _connected(raw, host, int(port))
        await connection.send(
            f"GET {PATH}?sessionId={session_id} HTTP/1.1\r\nHost: {host}\r\n"
            f"Authorization: Bearer {key}\r\n\r\n".encode()
        )
        stream = cls(connection)
        await stream.read_until(HELLO)
        return stream

    async def read_until(self, end: bytes) -> bytes:
        """Return what came until and with `end`. Raise EndOfStream if that never comes."""
        while end not in self._buffer:
            self._buffer += await self.connection.receive()
        found, _, self._buffer = self._buffer.partition(end)
        return found + end

    async def event(self) -> dict[str, Any]:
        """Return the next event's data."""
        await self.read_until(b"data: ")
        found: dict[str, Any] = json.loads(await self.read_until(b"\n\n"))
        return found

    async def rest(self) -> bytes:
        """Return everything that is still to come, until the server closes."""
        try:
            while True:
                self._buffer += await self.connection.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return self._buffer


async def _connected(raw: socket.socket, host: str, port: int) -> SocketStream:
    # A receive buffer has to be set before there is a connection.
    try:
        raw.connect((host, port))
    except BlockingIOError:
        await anyio.wait_writable(raw)
    return await SocketStream.from_socket(raw)


class OpenStreams:
    """Opens streams, and closes them at the end."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack

    async def __call__(
        self, url: str, key: str, session_id: str = "s", **more: int
    ) -> RawStream:
        """Open a stream."""
        stream = await RawStream.open(url, key, session_id, **more)
        self._stack.push_async_callback(stream.connection.aclose)
        return stream


@asynccontextmanager
async def open_streams() -> AsyncIterator[OpenStreams]:
    """Lend what opens streams; they are closed at the end of the block."""
    async with AsyncExitStack() as stack:
        yield OpenStreams(stack)
