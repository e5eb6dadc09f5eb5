"""Connections of streams: plain sockets, of which httpcore reads no more than the head.

A rotation may reach every session of a host at once, and each has a stream of its own.
Layers that take 10 µs each delay the last of them, so what follows the head is read from
the socket itself (`stream_transport`), and OpenSSL reads from it without buffers between.
"""

import socket
import ssl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import anyio.lowlevel
import httpcore
from anyio.abc import SocketAttribute

from rensei_daemon.platform_api.readable_sockets import ReadableSockets

RECEIVE_BYTES = 64 * 1024
"""More than a TLS record: what OpenSSL has decrypted never waits for more to arrive."""

_NOT_READY = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class SocketBackend(httpcore.AsyncNetworkBackend):
    """Connects sockets for httpcore."""

    def __init__(self, readable: ReadableSockets) -> None:
        self._readable = readable

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> "SocketStream":
        """Connect to the first address that answers; raises httpcore's errors."""
        with _limit(timeout, httpcore.ConnectTimeout, httpcore.ConnectError):
            connected = await anyio.connect_tcp(host, port, local_host=local_address)
            # The event loop has its own ways to read a socket that it connected, so it
            # gives this one up. A platform says nothing before it is asked.
            try:
                raw = connected.extra(SocketAttribute.raw_socket)  # noqa: S610 - not Django's
                own = raw.dup()
            finally:
                with anyio.CancelScope(shield=True):
                    await connected.aclose()
            try:
                for option in socket_options or ():
                    own.setsockopt(*option)
            except OSError:
                own.close()
                raise
        return SocketStream(own, self._readable)

    async def sleep(self, seconds: float) -> None:
        """Sleep."""
        await anyio.sleep(seconds)


class SocketStream(httpcore.AsyncNetworkStream):
    """A connected socket, with or without TLS."""

    def __init__(self, connected: socket.socket, readable: ReadableSockets) -> None:
        self.socket = connected
        self._readable = readable
        self._rest = b""
        """Received, and not read yet."""
        self._is_in_head = True

    def end_head(self) -> None:
        """Note that the head of the response has been read."""
        self._is_in_head = False

    async def receive(self) -> bytes:
        """Return what has arrived, as soon as there is something; empty at the end.

        Raises `httpcore.ReadError`, and `ssl.SSLError` for an alert.
        """
        if self._rest:
            rest, self._rest = self._rest, b""
            return rest
        try:
            while True:
                await self._readable.wait(self.socket)
                try:
                    return self.socket.recv(RECEIVE_BYTES)
                except _NOT_READY:  # part of a record, or none of data
                    continue
        except ssl.SSLError:
            raise
        except (OSError, ValueError, anyio.ClosedResourceError) as error:
            raise httpcore.ReadError(str(error)) from error

    async def read(
        self,
        max_bytes: int,
        timeout: float | None = None,
    ) -> bytes:
        """Read a line of the head, or whatever follows it; raises httpcore's errors.

        httpcore asks for no more when the head has ended, so that it has nothing of the
        body, which others read.
        """
        if self._rest:
            await anyio.lowlevel.checkpoint()  # many short lines may have come together
        else:
            with _limit(timeout, httpcore.ReadTimeout, httpcore.ReadError):
                self._rest = await self.receive()
        end = min(max_bytes, len(self._rest))
        if self._is_in_head:
            end = self._rest.find(b"\n", 0, end) + 1 or end
        piece, self._rest = self._rest[:end], self._rest[end:]
        return piece

    async def write(
        self,
        buffer: bytes,
        timeout: float | None = None,
    ) -> None:
        """Write all; raises httpcore's errors."""
        with _limit(timeout, httpcore.WriteTimeout, httpcore.WriteError):
            while buffer:
                try:
                    buffer = buffer[self.socket.send(buffer) :]
                except _NOT_READY:
                    await anyio.wait_writable(self.socket)

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> "SocketStream":
        """Shake hands; raises httpcore's errors, and then the socket is closed."""
        try:
            with _limit(timeout, httpcore.ConnectTimeout, httpcore.ConnectError):
                secured = self.socket = ssl_context.wrap_socket(
                    self.socket,
                    server_hostname=server_hostname,
                    do_handshake_on_connect=False,
                )
                await _shake_hands(secured)
        except BaseException:
            await self.aclose()
            raise
        return self

    async def aclose(self) -> None:
        """Close the socket; a task that waits for it has an error."""
        if self.socket.fileno() >= 0:
            self._readable.notify_closing(self.socket)
            self.socket.close()

    def get_extra_info(self, info: str) -> Any:
        """Return the socket, or with TLS what knows of it."""
        if info == "socket":
            return self.socket
        if info == "ssl_object" and isinstance(self.socket, ssl.SSLSocket):
            return self.socket
        return None


async def _shake_hands(secured: ssl.SSLSocket) -> None:
    while True:
        try:
            return secured.do_handshake()
        except ssl.SSLWantReadError:
            await anyio.wait_readable(secured)
        except ssl.SSLWantWriteError:
            await anyio.wait_writable(secured)


@contextmanager
def _limit(
    seconds: float | None, late: type[Exception], failed: type[Exception]
) -> Iterator[None]:
    """Limit the time of a step, and translate its errors to httpcore's."""
    try:
        with anyio.fail_after(seconds):
            yield
    except TimeoutError as error:
        raise late(str(error)) from error
    except ssl.SSLError as error:
        if failed is httpcore.ConnectError:
            raise failed(str(error)) from error
        raise
    except (OSError, ValueError, anyio.ClosedResourceError) as error:
        raise failed(str(error)) from error
