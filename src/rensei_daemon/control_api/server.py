"""The two servers of the control API: the control socket, and metrics over TCP.

On the socket the kernel knows the user of each client, so its routes may change something.
Over TCP it does not.
"""

import errno
import socket
from contextlib import ExitStack
from pathlib import Path

import anyio
from anyio.abc import TaskStatus

from rensei_daemon.control_api.request import RequestServer
from rensei_daemon.control_api.request_limits import DEFAULT_LIMITS, RequestLimits
from rensei_daemon.control_api.wire import Routes
from rensei_daemon.core.urls import is_loopback_host
from rensei_daemon.errors import SettingsError
from rensei_daemon.sockets.peer import UNKNOWN_PEER
from rensei_daemon.sockets.persistent_socket import Report, ignore
from rensei_daemon.sockets.serving import Acceptor, serve_file

RETRY_SECONDS = 5.0
"""Between two tries to listen at an address of the metrics that is taken."""

_BACKLOG = 1024
_REMEDIES = {
    errno.EADDRINUSE: "another process listens there; see which: ss -ltnp",
    errno.EADDRNOTAVAIL: "use an address of this host; list them: ip address",
    errno.EACCES: "use a port from 1024 on",
}


async def serve_control(
    path: Path,
    routes: Routes,
    *,
    gid: int | None = None,
    report: Report = ignore,
    limits: RequestLimits = DEFAULT_LIMITS,
    task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Serve the routes on a unix socket until cancelled; then remove its file.

    Members of the group `gid` may connect too, but only read. `report` is called when the
    file had to be restored. Raises `StateInUseError`, `SettingsError` or `StorageError` if
    it cannot listen.
    """
    server = RequestServer(routes, limits)
    await serve_file(
        path,
        server.serve,
        server.report_accept_failure,
        gid=gid,
        report=report,
        task_status=task_status,
    )


async def serve_metrics(
    address: tuple[str, int],
    routes: Routes,
    *,
    report: Report = ignore,
    limits: RequestLimits = DEFAULT_LIMITS,
    retry_seconds: float = RETRY_SECONDS,
    task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Serve the routes at (IP address, port) until cancelled.

    None of them may change anything. Started after the first try to listen; `report` is
    called with the error of each try that failed, and with None once clients can connect.
    """
    # A browser may send requests to a loopback address for any web page.
    server = RequestServer(routes, limits, check_host=is_loopback_host(address[0]))
    listening = _try_to_listen(address, report)
    task_status.started()
    while listening is None:
        await anyio.sleep(retry_seconds)
        listening = _try_to_listen(address, report)
    with listening:
        async with anyio.create_task_group() as clients:
            await Acceptor(
                clients, server.serve, server.report_accept_failure, lambda _: UNKNOWN_PEER
            ).run(listening)


def _try_to_listen(address: tuple[str, int], report: Report) -> socket.socket | None:
    try:
        listening = _listen(*address)
    except SettingsError as error:
        report(error)
        return None
    report(None)
    return listening


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with ExitStack() as closing:
            listening = closing.enter_context(socket.socket(family, socket.SOCK_STREAM))
            listening.setblocking(False)
            # Old connections may linger after a restart; a second listener is refused.
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((host, port))
            listening.listen(_BACKLOG)
            closing.pop_all()
    except OSError as error:
        shown = f"[{host}]" if ":" in host else host
        raise SettingsError(
            f"cannot listen on {shown}:{port} for [metrics].listen: {error.strerror}",
            hint=_REMEDIES.get(error.errno or 0, "set another [metrics].listen, or none"),
        ) from error
    return listening
