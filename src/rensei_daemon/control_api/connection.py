"""A connection as bytes, and the next one at a listener.

Plain sockets and nothing buffered: a request that has arrived is read without waiting,
and a wait that is given up leaves nothing behind in the event loop.
"""

import socket
from collections.abc import Callable

import anyio
import anyio.lowlevel


class Connection:
    """One connection; closing it is its owner's business."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self.socket = connection

    async def receive(self, most_bytes: int) -> bytes:
        """Return what has come, at least one byte; empty when the other end has gone."""
        while True:
            try:
                return self.socket.recv(most_bytes)
            except BlockingIOError:
                await anyio.wait_readable(self.socket)
            except OSError:
                return b""

    async def send(self, data: bytes) -> None:
        """Send it all; an end that has gone loses it."""
        left = memoryview(data)
        while left:
            try:
                left = left[self.socket.send(left) :]
            except BlockingIOError:
                await anyio.wait_writable(self.socket)
            except OSError:
                return


async def accept(
    listening: socket.socket, *, on_shortage: Callable[[], None]
) -> Connection:
    """Wait for the next connection, and let every other task have its turn first.

    `on_shortage` is called whenever one cannot be had for want of descriptors.
    """
    while True:
        await anyio.lowlevel.checkpoint()
        try:
            connection, _ = listening.accept()
        except BlockingIOError:
            await anyio.wait_readable(listening)
        except ConnectionError:
            continue  # it left before it was let in
        except OSError:
            on_shortage()
            # Out of descriptors: clients wait in the kernel's queue meanwhile.
            await anyio.sleep(0.1)
        else:
            return Connection(connection)
