"""Serve the clients of a socket: accept each connection and run a handler for it."""

import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup, TaskStatus

from rensei_daemon.sockets.peer import Peer, peer_of
from rensei_daemon.sockets.persistent_socket import PersistentSocket, Report, ignore

PAUSE_SECONDS = 0.1

Handler = Callable[[socket.socket, Peer], Awaitable[None]]
"""Serves one connection, which does not block and is closed when the handler returns."""
OnFailure = Callable[[str], None]
"""Called with the reason why a connection could not be accepted."""


class Acceptor:
    """Accepts connections, and runs the handler of each in a new task."""

    def __init__(
        self,
        clients: TaskGroup,
        handle: Handler,
        on_failure: OnFailure,
        identify: Callable[[socket.socket], Peer] = peer_of,
    ) -> None:
        """`identify` returns the process at the other end; it may raise `OSError`."""
        self._clients = clients
        self._handle = handle
        self._on_failure = on_failure
        self._identify = identify

    async def run(self, listening: socket.socket) -> None:
        """Accept until cancelled; the handlers continue after that."""
        while True:
            # A burst of clients must not keep the other tasks from running.
            await anyio.lowlevel.checkpoint()
            try:
                connection, _ = listening.accept()
            except BlockingIOError:
                await anyio.wait_readable(listening)
            except ConnectionError:
                continue  # this client left before it was accepted
            except OSError as error:
                self._report(error)
                # There are no free descriptors; the clients wait in the kernel's queue.
                await anyio.sleep(PAUSE_SECONDS)
            else:
                connection.setblocking(False)
                self._clients.start_soon(self._serve, connection, name="client")

    async def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                peer = self._identify(connection)
            except OSError as error:
                self._report(error)
            else:
                await self._handle(connection, peer)

    def _report(self, error: OSError) -> None:
        self._on_failure(error.strerror or str(error))


async def serve_file(
    path: Path,
    handle: Handler,
    on_failure: OnFailure,
    *,
    gid: int | None = None,
    report: Report = ignore,
    task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Serve the clients of a socket file until cancelled, and remove the file then.

    Started once clients can connect. With a `gid`, members of the group may connect too.
    `report` is called when the file had to be restored. Raises `StateInUseError`,
    `SettingsError` or `StorageError` if it cannot listen.
    """
    with PersistentSocket(path, gid, report) as kept:
        async with anyio.create_task_group() as clients:
            task_status.started()
            await kept.serve(Acceptor(clients, handle, on_failure).run)
