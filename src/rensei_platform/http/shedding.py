"""Load shedding: calls of a whole fleet, while it asks for more than a server can answer.

After a restart every session asks for a stream and a snapshot. They wait in the kernel's
queue of connections; when that is full, a client tries again after 1, 3 and 7 seconds, and
what was waited for longer than ten is answered to nobody and asked for again, which is more
work. So while the queue is long, such calls are refused at once, with a time to return.
Heartbeats, which bring outcomes, and what people ask for are never refused.
"""

import socket
import struct

import anyio
from starlette.types import ASGIApp, Receive, Scope, Send

from rensei_platform.errors import UnavailableError
from rensei_platform.http.requests import refusal
from rensei_platform.log_limit import LogLimit

LOOK_SECONDS = 0.1
OF_FLEETS = frozenset(
    {
        "/api/workers/register",
        "/api/daemon/credentials/snapshot",
        "/api/daemon/credentials/rotate-stream",
    }
)
_BUSY = UnavailableError("The server is busy", retry_after_seconds=5)
_INFO = struct.Struct("=24xI")
"""The kernel's tcp_info; of a socket that listens, tcpi_unacked is the queue's length."""


class Backlog:
    """The queue of connections that nobody has accepted yet."""

    def __init__(self, listener: socket.socket, most: int, log_limit: LogLimit) -> None:
        """With more than `most` connections it is long."""
        self._listener, self._most, self._log_limit = listener, most, log_limit
        self.is_long = False

    def length(self) -> int:
        """Return how many connections wait; none of a socket that is closed."""
        if self._listener.fileno() < 0:
            return 0
        info = self._listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO.size)
        (length,) = _INFO.unpack(info)
        return int(length)

    async def watch(self) -> None:
        """Look at it regularly, for ever."""
        while True:
            length = self.length()
            self.is_long = length > self._most
            if self.is_long:
                self._log_limit.warning(
                    "server.busy",
                    waiting=length,
                    hint="If this goes on, give it a faster core, or add a server.",
                )
            await anyio.sleep(LOOK_SECONDS)


class Shedding:
    """The application inside, without calls of fleets while the backlog is long."""

    def __init__(self, app: ASGIApp, backlog: Backlog) -> None:
        self._app, self._backlog = app, backlog

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 503."""
        if self._backlog.is_long and scope["path"] in OF_FLEETS:
            await refusal(_BUSY)(scope, receive, send)
        else:
            await self._app(scope, receive, send)
