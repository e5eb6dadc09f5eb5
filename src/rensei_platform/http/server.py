"""A server: it listens, serves until it is cancelled, and ends its streams first."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

import anyio
import uvicorn
from anyio.abc import TaskStatus
from starlette.types import ASGIApp

from rensei_platform.bus.hub import end_spread
from rensei_platform.errors import StartError
from rensei_platform.http.app import build_app
from rensei_platform.http.connections import Connection, Patience
from rensei_platform.http.descriptors import is_full
from rensei_platform.http.shedding import Backlog
from rensei_platform.http.tls import Certificate
from rensei_platform.services.background import run_in_background
from rensei_platform.services.platform import Platform

ACCEPTED_AT_ONCE = 16
"""Connections that a turn of the event loop takes. libuv takes one for each handle: where a
turn is long because a fleet comes back, the queue of the kernel would overflow, and who
finds it full tries again after 1, 3 and 7 seconds."""
CHECK_SECONDS = 1.0
"""Between two looks at the connections and the certificate."""
_GOODBYE_SECONDS = 5.0
"""For answers that are on their way when the server ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """How clients reach a server."""

    certificate: Certificate | None = None
    """With one the server speaks TLS."""
    proxies: tuple[str, ...] = ()
    """Addresses and networks whose X-Forwarded-For is believed."""
    patience: Patience = field(default_factory=Patience)


DIRECT = Exposure()


def listen(host: str, port: int) -> socket.socket:
    """Return a bound socket; port 0 takes a free one. Raise StartError if it is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol left to the kernel, asyncio leaves TCP_NODELAY off, and every
    # answer waits 40 ms for an acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise StartError(
            f"cannot listen on {host} port {port}: {error.strerror}",
            hint="Choose another with --port; ss -ltnp shows who has it.",
        ) from error
    return listener


def url_of(listener: socket.socket, exposure: Exposure = DIRECT) -> str:
    """Return the address of a server, like `http://127.0.0.1:8080`."""
    host, port = listener.getsockname()[:2]
    scheme = "http" if exposure.certificate is None else "https"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


@asynccontextmanager
async def serving(
    platform: Platform,
    listener: socket.socket,
    app: ASGIApp | None = None,
    exposure: Exposure = DIRECT,
) -> AsyncIterator[None]:
    """Serve while the block runs; `app` is the platform's application unless given."""
    backlog = Backlog(listener, platform.settings.most_waiting, platform.log_limit)
    app = app or build_app(platform, backlog)
    server = _Server(platform, listener, exposure, app)
    async with anyio.create_task_group() as tasks:
        await tasks.start(run_in_background, platform)
        await tasks.start(server.live)
        tasks.start_soon(backlog.watch)
        try:
            yield
        finally:
            with anyio.CancelScope(shield=True):
                await server.stop()
            tasks.cancel_scope.cancel()


class _Server(uvicorn.Server):
    """uvicorn with its life in our hands: it takes over no signal handler."""

    def __init__(
        self,
        platform: Platform,
        listener: socket.socket,
        exposure: Exposure,
        app: ASGIApp,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=Connection,
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="warning",
                access_log=False,
                server_header=False,
                proxy_headers=bool(exposure.proxies),
                forwarded_allow_ips=list(exposure.proxies),
                backlog=4096,
            )
        )
        self._platform = platform
        self._listener = listener
        self._exposure = exposure
        self._certificate = exposure.certificate

    async def live(self, *, task_status: TaskStatus[None]) -> None:
        """Serve until cancelled."""
        self.config.load()
        if self._certificate is not None:
            self.config.ssl = self._certificate.context
        self.lifespan = self.config.lifespan_class(self.config)
        copies = [self._listener.dup() for _ in range(ACCEPTED_AT_ONCE - 1)]
        await self.startup(sockets=[self._listener, *copies])
        await self.on_tick(0)
        task_status.started()
        while True:
            await anyio.sleep(CHECK_SECONDS)
            await self.on_tick(0)  # the clock of the Date header
            self._warn_if_full()
            for connection in list(self.server_state.connections):
                cast("Connection", connection).check(self._exposure.patience)
            if self._certificate is not None:
                self._certificate.refresh()

    def _warn_if_full(self) -> None:
        count = len(self.server_state.connections) + len(self._platform.hub)
        if is_full(count):
            self._platform.log_limit.warning(
                "connections.full", count=count, hint="Raise LimitNOFILE of the service."
            )

    async def stop(self) -> None:
        """End the streams, take no more connections, and close the rest soon after.

        Where there are other servers, they are to be asked at once. An embedded database
        has one alone: it goes on to answer while its streams end, so that heartbeats and
        snapshots miss it for a second and not for all that time.
        """
        hub = self._platform.hub
        hub.is_ending = True
        if not self._platform.store.is_sqlite:
            self._close_listeners()
        self._platform.changes.end_all()
        await end_spread(hub, self._platform.settings.stop_seconds)
        self._close_listeners()
        with anyio.move_on_after(_GOODBYE_SECONDS):
            await self._wait_until_idle()
        hub.abort_all()
        for connection in list(self.server_state.connections):
            connection.transport.abort()

    def _close_listeners(self) -> None:
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()

    async def _wait_until_idle(self) -> None:
        # The server has no event for it.
        state, hub = self.server_state, self._platform.hub
        while state.connections or state.tasks or len(hub):  # noqa: ASYNC110
            await anyio.sleep(0.005)
