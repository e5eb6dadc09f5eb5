"""A platform that runs inside the caller's event loop, on a real loopback socket.

Owns the listener and the server's life. It touches no signal handler: whoever runs a
platform decides when it ends, and it ends at once, open streams or not.
"""

import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager

import anyio
import uvicorn
from anyio.abc import TaskStatus

from rensei_daemon.local_platform.app import build_app
from rensei_daemon.local_platform.faults import Faults
from rensei_daemon.local_platform.settings import PlatformSettings
from rensei_daemon.local_platform.state import State
from rensei_daemon.local_platform.store import Store

LOOPBACK = "127.0.0.1"

_GOODBYE_SECONDS = 0.25


class RunningPlatform:
    """A platform that answers at `url`, and the handles to play with it."""

    def __init__(self, state: State, url: str) -> None:
        self.state = state
        self.url = url
        """Like `http://127.0.0.1:40123`, without a slash at the end."""
        self.faults = Faults(self._wake)
        self._changed = anyio.Event()
        state.listen(lambda _: self._wake())

    async def until(self, condition: Callable[[State], bool]) -> None:
        """Wait until the condition holds; it is asked again at every change."""
        while not condition(self.state):
            await self._changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


@asynccontextmanager
async def running(
    settings: PlatformSettings | None = None, *, host: str = LOOPBACK, port: int = 0
) -> AsyncIterator[RunningPlatform]:
    """Serve a platform while the block runs; port 0 takes a free one.

    Raises OSError when the port is taken or the state file cannot be opened, and
    sqlite3.Error when that file is no database.
    """
    settings = settings or PlatformSettings()
    with (
        closing(_listen(host, port)) as listener,
        closing(Store.open(settings.state_file)) as store,
    ):
        state = State(settings)
        state.restore(store.load())
        state.listen(store.save)
        platform = RunningPlatform(state, _url(listener))
        server = _Server(platform, listener)
        with _one_error_alone():
            async with anyio.create_task_group() as tasks:
                await tasks.start(server.live)
                try:
                    yield platform
                finally:
                    tasks.cancel_scope.cancel()


def _listen(host: str, port: int) -> socket.socket:
    # With the protocol left to the kernel, asyncio takes the connections for something
    # else than TCP, leaves TCP_NODELAY off, and every answer waits 40 ms for an ACK.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextmanager
def _one_error_alone() -> Iterator[None]:
    """Let an error of the caller's block come out as itself, not in a group of one."""
    alone: BaseException | None = None
    try:
        yield
    except BaseExceptionGroup as group:
        if len(group.exceptions) > 1:
            raise
        alone = group.exceptions[0]
    if alone is not None:  # raised out here, it keeps its own cause and context
        raise alone


class _Server(uvicorn.Server):
    """The server, with its life in our hands.

    Its own `serve` takes over the signal handlers of the process, and looks only ten
    times a second at whether it should stop.
    """

    def __init__(self, platform: RunningPlatform, listener: socket.socket) -> None:
        super().__init__(
            uvicorn.Config(
                platform.faults.wrap(build_app(platform.state)),
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="warning",
                access_log=False,
                server_header=False,
                proxy_headers=False,
            )
        )
        self._platform = platform
        self._listener = listener

    async def live(self, *, task_status: TaskStatus[None]) -> None:
        """Serve until cancelled."""
        self.config.load()
        self.lifespan = self.config.lifespan_class(self.config)
        await self.startup(sockets=[self._listener])
        try:
            await self.on_tick(0)
            task_status.started()
            while True:
                await anyio.sleep(1)
                await self.on_tick(0)  # the Date header's clock
        finally:
            self._say_goodbye()
            with anyio.move_on_after(_GOODBYE_SECONDS, shield=True):
                await self._emptied()
            for connection in list(self.server_state.connections):
                connection.transport.abort()
            with anyio.move_on_after(_GOODBYE_SECONDS, shield=True):
                await self._emptied()

    def _say_goodbye(self) -> None:
        """Take no more connections, end the streams, close what is idle."""
        for server in self.servers:
            server.close()
        self._platform.state.drop_streams()
        self._platform.faults.clear()
        for connection in list(self.server_state.connections):
            connection.shutdown()

    async def _emptied(self) -> None:
        """Wait until the last answer is out and the last connection gone."""
        # The server has no event for it.
        while self.server_state.connections or self.server_state.tasks:  # noqa: ASYNC110
            await anyio.sleep(0.002)
