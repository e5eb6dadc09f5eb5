"""Waits until sockets can be read; the event loop watches one descriptor for all of them.

A rotation may reach every session of a host at once, and each has a socket of its own. To
have the event loop watch a socket, and stop again, takes as long as to read it. So the
sockets stay in an epoll, where one call arms the next wait, and one call returns all that
can be read.
"""

import select
import socket
import sys

import anyio


class ReadableSockets:
    """The sockets of all open streams."""

    def __init__(self) -> None:
        self._epoll: select.epoll | None = None
        """None while `run` does not run."""
        self._waits: dict[int, anyio.Event] = {}
        """By descriptor."""

    async def run(self) -> None:
        """Wake those who wait, until cancelled; without it each waits for itself."""
        if sys.platform != "linux":  # there is no epoll
            return
        try:
            with select.epoll() as self._epoll:
                while True:
                    await anyio.wait_readable(self._epoll)
                    for descriptor, _ in self._epoll.poll(0):
                        self._wake(descriptor)
        finally:
            self._epoll = None
            for descriptor in tuple(self._waits):
                self._wake(descriptor)

    async def wait(self, connection: socket.socket) -> None:
        """Wait until a socket can be read, or is being closed.

        It may end without either: read without blocking, and wait again.
        """
        if self._epoll is None:
            await anyio.wait_readable(connection)
            return
        descriptor = connection.fileno()
        _arm(self._epoll, descriptor)
        event = self._waits[descriptor] = anyio.Event()
        try:
            await event.wait()
        finally:
            if self._waits.get(descriptor) is event:
                del self._waits[descriptor]

    def notify_closing(self, connection: socket.socket) -> None:
        """Wake who waits for a socket, which is about to be closed."""
        self._wake(connection.fileno())
        anyio.notify_closing(connection)

    def _wake(self, descriptor: int) -> None:
        event = self._waits.pop(descriptor, None)
        if event is not None:
            event.set()


def _arm(epoll: select.epoll, descriptor: int) -> None:
    """Have the next poll that finds a socket readable return it, once."""
    events = select.EPOLLIN | select.EPOLLONESHOT
    try:
        epoll.modify(descriptor, events)
    except FileNotFoundError:  # a new one: the kernel removes those that are closed
        epoll.register(descriptor, events)
