"""The daemon's two listeners: the control socket, and metrics over TCP where asked for.

Each knows who is at the other end, and lets through what such a peer may ask for: on the
socket the kernel tells a process's user, on TCP nobody does. What is said then is one
and the same conversation.
"""

import errno
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from anyio.abc import TaskStatus

from rensei_daemon.control_api.connection import Connection, accept
from rensei_daemon.control_api.connection_limit import ConnectionLimit
from rensei_daemon.control_api.request import Listener, serve_client
from rensei_daemon.control_api.request_reader import DEFAULT_LIMITS, RequestLimits
from rensei_daemon.control_api.wire import SOMEBODY, Peer, Routes
from rensei_daemon.core.urls import is_loopback_host
from rensei_daemon.disk.persistent_socket import Accept, PersistentSocket, Tell, ignore
from rensei_daemon.errors import SettingsError

_CREDENTIALS = struct.Struct("3i")  # SO_PEERCRED: pid, uid, gid
_BACKLOG = 1024
_REMEDIES = {
    errno.EADDRINUSE: "another process listens there; see which: ss -ltnp",
    errno.EADDRNOTAVAIL: "give an address of this host's own: ip address",
    errno.EACCES: "give a port from 1024 on",
}


async def serve_control(
    path: Path,
    routes: Routes,
    *,
    gid: int | None = None,
    tell: Tell = ignore,
    limits: RequestLimits = DEFAULT_LIMITS,
    task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Serve the routes on a unix socket until cancelled; the file goes with the task.

    Started once clients can connect. With a `gid` the group may connect too, which lets
    it read. `tell` hears of a file that had to be put back. Raises StateInUseError,
    SettingsError or StorageError when it cannot listen.
    """
    listener = Listener(routes=routes, limits=limits)
    with PersistentSocket(path, gid, tell) as kept:
        async with _clients(listener, _process_behind) as accept_from:
            task_status.started()
            await kept.serve(accept_from)


async def serve_metrics(
    address: tuple[str, int],
    routes: Routes,
    *,
    limits: RequestLimits = DEFAULT_LIMITS,
    task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Serve the routes at (IP address, port), until cancelled.

    None of the routes should write: nobody here may. Raises SettingsError when it cannot
    listen.
    """
    listener = Listener(
        routes=routes, limits=limits, is_open_to_browsers=is_loopback_host(address[0])
    )
    with _listen(*address) as listening:
        async with _clients(listener, lambda _: SOMEBODY) as accept_from:
            task_status.started()
            await accept_from(listening)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setblocking(False)
        # Connections of the last run may linger; another listener is refused all the same.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        shown = f"[{host}]" if ":" in host else host
        raise SettingsError(
            f"cannot listen on {shown}:{port} for [metrics].listen: {error.strerror}",
            hint=_REMEDIES.get(error.errno or 0, "set another [metrics].listen, or none"),
        ) from error
    return listening


@asynccontextmanager
async def _clients(
    listener: Listener, identify: Callable[[socket.socket], Peer]
) -> AsyncIterator[Accept]:
    """Return what accepts clients; each is attended to until the block ends."""
    connection_limit = ConnectionLimit(
        listener.limits.clients, listener.limits.grace_seconds
    )
    async with anyio.create_task_group() as clients:

        async def accept_from(listening: socket.socket) -> None:
            while True:
                connection = await accept(listening, on_shortage=listener.log_shortage)
                clients.start_soon(
                    _attend, connection, listener, identify, connection_limit
                )

        yield accept_from


async def _attend(
    connection: Connection,
    listener: Listener,
    identify: Callable[[socket.socket], Peer],
    connection_limit: ConnectionLimit,
) -> None:
    with connection.socket:
        await serve_client(
            connection, identify(connection.socket), listener, connection_limit
        )


def _process_behind(connection: socket.socket) -> Peer:
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, gid = _CREDENTIALS.unpack(raw)
    return Peer(pid=pid, uid=uid, gid=gid)
