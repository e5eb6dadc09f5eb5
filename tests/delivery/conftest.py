"""A credential socket that listens, and readers that speak to it byte by byte."""

import json
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
import pytest
from deadlines import HANG_SECONDS

from rensei_daemon.core.credential import Credentials, difference
from rensei_daemon.delivery.credential_socket import CredentialSocket
from rensei_daemon.delivery.reader_connection import ReaderTimeouts
from rensei_daemon.delivery.subscribers import Subscribers


class Reader:
    """A worker's end of the socket, with the standard library only."""

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self.socket.setblocking(False)
        self._inbox = b""

    async def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.socket.sendall(data)

    async def line(self) -> bytes:
        """Read one line with its end; empty at the end of the conversation."""
        while b"\n" not in self._inbox:
            await anyio.wait_readable(self.socket)
            try:
                data = self.socket.recv(65536)
            except ConnectionResetError:
                data = b""
            if not data:
                return b""
            self._inbox += data
        line, _, self._inbox = self._inbox.partition(b"\n")
        return line + b"\n"

    async def frame(self) -> Any:
        """Read one frame; None at the end."""
        line = await self.line()
        return json.loads(line) if line else None

    def close(self) -> None:
        """Close without a BYE."""
        self.socket.close()


class Publisher:
    """A rotation, as subscribers see it."""

    def __init__(self, subscribers: Subscribers) -> None:
        self.subscribers = subscribers
        self.credentials = Credentials()
        self.uptake = anyio.Event()
        subscribers.on_uptake = self._taken

    def _taken(self) -> None:
        self.uptake.set()
        self.uptake = anyio.Event()

    async def publish(self, **env: str) -> None:
        """Deliver exactly these values."""
        before, self.credentials = self.credentials, self.credentials.replaced(env)
        await self.subscribers.deliver(
            self.credentials, difference(before, self.credentials)
        )

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until the condition holds; it is asked again at every uptake."""
        while not condition():
            await self.uptake.wait()


class Lab:
    """A credential socket in its own directory, and its clients."""

    def __init__(self, place: Path) -> None:
        self.path = place / "credentials.sock"
        self._connections: list[socket.socket] = []

    @asynccontextmanager
    async def listening(
        self, limits: ReaderTimeouts | None = None, gid: int | None = None
    ) -> AsyncIterator[CredentialSocket]:
        """Serve the socket while the block runs."""
        credential_socket = CredentialSocket(limits or ReaderTimeouts())
        with anyio.fail_after(HANG_SECONDS):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(credential_socket.bursts.run)
                await tasks.start(partial(credential_socket.serve, self.path, gid=gid))
                yield credential_socket
                tasks.cancel_scope.cancel()

    def connect(self, said: bytes = b"") -> Reader:
        """Connect, and say something at once."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._connections.append(connection)
        connection.connect(str(self.path))
        connection.sendall(said)
        return Reader(connection)

    def over(self, connection: socket.socket) -> Reader:
        """Be a worker with this end of a connection."""
        self._connections.append(connection)
        return Reader(connection)

    def close(self) -> None:
        """Close every connection without a BYE."""
        for connection in self._connections:
            connection.close()

    def publishing(self, subscribers: Subscribers) -> Publisher:
        """Run the rotation of a session's subscribers."""
        return Publisher(subscribers)


@pytest.fixture
def lab() -> Iterator[Lab]:
    """A directory that anybody may pass through, as in production, and a socket in it."""
    with TemporaryDirectory() as directory:
        Path(directory).chmod(0o711)
        lab = Lab(Path(directory))
        yield lab
        lab.close()
