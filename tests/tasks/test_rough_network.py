"""A session's credentials through a network that drops, stalls, resets and dawdles."""

import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream
from deadlines import HANG_SECONDS

from rensei_daemon.core.snapshot_schedule import SnapshotIntervals, SnapshotReason

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from tasks.conftest import Home, Running

ORG = "org_acme"
SESSIONS = """
[credentials]
project_id = "proj_a"
[[credentials.sessions]]
id = "build"
env_file = "build.env"
"""
FAST = SnapshotIntervals(poll_seconds=0.05, slow_poll_seconds=0.2, long_down_seconds=60)
ONLY = ("heartbeat", "mutations", "configuration")
USUAL_SECONDS = 20.0
HASTY_SECONDS = 0.3
"""What a call may take where answers get lost."""


class FaultProxy:
    """A TCP proxy before the platform that distorts responses as configured."""

    def __init__(self, port: int, upstream: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.manner = "pass"
        """`pass`, `trickle` (single bytes), `throttle`, `swallow`, `halve`, `refuse`."""
        self.spoilt = 0
        """How many answers were swallowed or cut in half, and connections refused."""
        self.changed = anyio.Event()
        self._upstream = upstream

    async def spoils(self, count: int) -> None:
        """Wait until it has spoilt so many more."""
        count += self.spoilt
        with anyio.fail_after(HANG_SECONDS):
            while self.spoilt < count:
                await self.changed.wait()

    def _note_spoilt(self) -> None:
        self.spoilt += 1
        self.changed.set()
        self.changed = anyio.Event()

    async def serve(self, client: SocketStream) -> None:
        """Pass one connection on."""
        async with client:
            if self.manner == "refuse":
                self._note_spoilt()
                _reset(client)
                return
            upstream = await anyio.connect_tcp("127.0.0.1", self._upstream)
            async with upstream, anyio.create_task_group() as both:

                async def ask() -> None:
                    await self._pump(client, upstream)
                    both.cancel_scope.cancel()

                both.start_soon(ask)
                await self._pump(upstream, client, is_answer=True)
                both.cancel_scope.cancel()

    async def _pump(
        self, source: SocketStream, sink: SocketStream, *, is_answer: bool = False
    ) -> None:
        try:
            async for data in source:
                if not is_answer:
                    await sink.send(data)
                elif not await self._answer(sink, data):
                    _reset(sink)
                    return
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass

    async def _answer(self, client: SocketStream, data: bytes) -> bool:
        """Pass part of an answer on; False: that was all there will be."""
        match self.manner:
            case "refuse":
                return False
            case "swallow":
                self._note_spoilt()
            case "halve":
                await client.send(data[: len(data) // 2])
                self._note_spoilt()
                return False
            case "trickle":
                for at in range(len(data)):
                    await client.send(data[at : at + 1])
            case "throttle":
                for at in range(0, len(data), 100):
                    await client.send(data[at : at + 100])
                    await anyio.sleep(0.01)  # passes time
            case _:
                await client.send(data)
        return True


def _reset(client: SocketStream) -> None:
    """Have the close that follows say RST."""
    raw = client.extra(SocketAttribute.raw_socket)  # noqa: S610 - not Django's
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@asynccontextmanager
async def _proxy(home: "Home") -> AsyncIterator[FaultProxy]:
    """Put the proxy between this host and its platform."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(SocketAttribute.local_port)  # noqa: S610 - not Django's
    proxy = FaultProxy(port, int(home.platform.url.rpartition(":")[2]))
    home.base = home.base.replace(home.platform.url, proxy.url)
    home.write(SESSIONS)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, proxy.serve)
        yield proxy
        tasks.cancel_scope.cancel()


@pytest.fixture
async def proxy(home: "Home") -> AsyncIterator[FaultProxy]:
    """A host whose platform is behind a proxy of ours, with one session."""
    _set(home, "one")
    async with _proxy(home) as proxy:
        yield proxy


def _set(home: "Home", value: str) -> None:
    home.platform.set_credential("github", "TOKEN", value)


def _rotate(home: "Home", value: str) -> None:
    home.platform.rotate("github", TOKEN=value)


async def _delivered(home: "Home", daemon: "Running", value: str) -> None:
    await daemon.until(lambda: home.env() == f'TOKEN="{value}"\n')


@asynccontextmanager
async def _live(
    home: "Home", call_seconds: float = USUAL_SECONDS
) -> AsyncIterator["Running"]:
    """Run the daemon until its stream is live and the first value has arrived."""
    async with home.daemon(without=ONLY, pace=FAST, call_seconds=call_seconds) as daemon:
        await daemon.until(
            lambda: (
                daemon.board.sessions
                and daemon.session.stream == "live"
                and home.env() == 'TOKEN="one"\n'
            )
        )
        yield daemon


@pytest.mark.parametrize("manner", ["trickle", "throttle"])
async def test_a_network_that_dawdles_changes_nothing(
    home: "Home", proxy: FaultProxy, manner: str
) -> None:
    """Bytes arrive one by one or slowly: the values are the same."""
    proxy.manner = manner
    async with _live(home) as daemon:
        _rotate(home, "two")
        await _delivered(home, daemon, "two")
        assert daemon.session.stream == "live"
        assert not daemon.conditions


async def test_an_event_cut_in_half_is_no_event(home: "Home", proxy: FaultProxy) -> None:
    """After a reset within it nothing of it is used; a snapshot has the values."""
    async with _live(home) as daemon:
        proxy.manner = "halve"
        _rotate(home, "two")
        await daemon.until(lambda: daemon.session.stream == "interrupted")
        assert home.env() == 'TOKEN="one"\n'
        proxy.manner = "pass"
        await _delivered(home, daemon, "two")
        await daemon.until(lambda: daemon.session.stream == "live")


@pytest.mark.parametrize("manner", ["halve", "swallow", "refuse"])
async def test_a_snapshot_that_never_arrives_whole_changes_nothing(
    home: "Home", proxy: FaultProxy, manner: str
) -> None:
    """The old values stay whole until a complete snapshot arrives."""
    is_lost = manner == "swallow"
    async with _live(home, HASTY_SECONDS if is_lost else USUAL_SECONDS) as daemon:
        proxy.manner = manner
        _set(home, "two")
        home.platform.drop_streams()
        (rotation,) = daemon.sessions.rotations
        rotation.request_snapshot(SnapshotReason.EVENT)
        await proxy.spoils(3)
        await daemon.until(lambda: rotation.snapshot_error)
        assert home.env() == 'TOKEN="one"\n'
        proxy.manner = "pass"
        await _delivered(home, daemon, "two")
        await daemon.until(lambda: daemon.session.stream == "live")
        assert not daemon.conditions
