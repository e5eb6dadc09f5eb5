"""Receive from and send to a connection that does not block.

Nothing is buffered, so a request that has arrived is read without waiting, and a cancelled
wait leaves nothing behind in the event loop.
"""

import socket

import anyio


async def receive(connection: socket.socket, most_bytes: int) -> bytes:
    """Return what has arrived, at least one byte; empty if the other end has closed."""
    while True:
        try:
            return connection.recv(most_bytes)
        except BlockingIOError:
            await anyio.wait_readable(connection)
        except OSError:
            return b""


async def send(connection: socket.socket, data: bytes) -> None:
    """Send all of it; if the other end has closed, the rest is lost."""
    left = memoryview(data)
    while left:
        try:
            left = left[connection.send(left) :]
        except BlockingIOError:
            await anyio.wait_writable(connection)
        except OSError:
            return
