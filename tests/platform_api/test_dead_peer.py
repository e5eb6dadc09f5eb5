"""Streams whose peer is dead, and streams whose peer is only silent."""

import ctypes
import socket
import struct
import subprocess
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest
from anyio.abc import ByteReceiveStream, ByteSendStream, SocketStream
from deadlines import HANG_SECONDS
from needs import need

from rensei_daemon.core.session_values import StreamUpdate
from rensei_daemon.errors import TransientError
from rensei_daemon.platform_api.dead_peer import (
    GONE_AFTER_SECONDS,
    PROBES,
    DeadPeerDetector,
    UnansweredProbes,
    read_tcp_info,
    silence_of,
)
from rensei_daemon.platform_api.http import Http, open_http
from rensei_daemon.platform_api.stream import FirstByte, open_stream

if TYPE_CHECKING:
    from platform_api.conftest import FaultServer

KEY = "rsk_live_" + "c0ffee" * 10 + "beef"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
A = b'event: UPDATE\ndata: {"delta": {"A": "1"}}\n\n'
CLONE_NEWNET = 0x40000000


def tcp_info(*, probes: int, data_ms: int, ack_ms: int) -> bytes:
    """Return the kernel's struct: eight bytes, then words."""
    before_ages = (0,) * 11
    return struct.pack("@8B13I", 1, 0, 0, probes, *(0,) * 4, *before_ages, data_ms, ack_ms)


@pytest.mark.parametrize(
    ("raw", "silence"),
    [
        (tcp_info(probes=3, data_ms=44_500, ack_ms=50_000), UnansweredProbes(44.5, 3)),
        (tcp_info(probes=0, data_ms=90_000, ack_ms=2_000), UnansweredProbes(2.0, 0)),
        (tcp_info(probes=1, data_ms=0, ack_ms=0) + b"more", UnansweredProbes(0.0, 1)),
        (tcp_info(probes=3, data_ms=44_500, ack_ms=50_000)[:-1], None),
    ],
)
def test_silence_counts_from_the_last_byte_or_answer(
    raw: bytes, silence: UnansweredProbes | None
) -> None:
    """The later one counts; a longer struct is accepted, a shorter one is not."""
    assert read_tcp_info(raw) == silence


@pytest.mark.parametrize(
    ("silence", "is_final"),
    [
        (UnansweredProbes(44.0, 3), True),
        (UnansweredProbes(43.9, 3), False),
        (UnansweredProbes(44.0, 2), False),  # the host slept, and has asked but twice
        (UnansweredProbes(3600.0, 0), False),
    ],
)
def test_a_peer_is_gone_when_it_leaves_three_probes_unanswered(
    silence: UnansweredProbes, is_final: bool
) -> None:
    """Neither silence alone nor a single lost probe is enough."""
    assert silence.is_final(GONE_AFTER_SECONDS, PROBES) == is_final


def test_the_kernel_tells_of_tcp_alone() -> None:
    """Other or closed connections have no state."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = listening.getsockname()
        with socket.create_connection(address) as client, listening.accept()[0] as peer:
            peer.send(b"x")
            silence = silence_of(client)
            assert silence is not None
            assert (silence.probes, silence.seconds < 1) == (0, True)
        assert silence_of(client) is None
    one, other = socket.socketpair()
    with one, other:
        assert silence_of(one) is None


@asynccontextmanager
async def kept(dead_peers: DeadPeerDetector) -> AsyncIterator[None]:
    """Run a detector while the block runs."""
    with anyio.fail_after(HANG_SECONDS):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(dead_peers.run)
            yield
            tasks.cancel_scope.cancel()


async def until_given_up(http: Http, server: "FaultServer") -> None:
    """Read a stream that falls silent, with a detector that considers its peer dead."""
    never = anyio.Event()
    server.plan("rotate-stream", [HEAD, A, never])
    async with open_stream(http, "build", KEY) as stream:
        assert await anext(stream) == FirstByte()
        assert await anext(stream) == StreamUpdate({"A": "1"})
        async with kept(http.dead_peers):
            with pytest.raises(TransientError, match="answers no keepalive"):
                await anext(stream)
            with pytest.raises(TransientError, match="answers no keepalive"):
                await anext(stream)
    never.set()


def hasty() -> DeadPeerDetector:
    """Make a detector that considers any peer dead."""
    return DeadPeerDetector(gone_after_seconds=0.0, probes=0)


async def test_a_stream_whose_peer_is_gone_breaks(server: "FaultServer") -> None:
    """Its reader gets an error with the reason."""
    async with open_http(server.url, user_agent="x", dead_peers=hasty()) as http:
        await until_given_up(http, server)


async def test_a_stream_over_tls_is_watched_too(
    tls_server: "FaultServer", certificate: Path
) -> None:
    """The connection below TLS is watched."""
    async with open_http(
        tls_server.url, user_agent="x", ca_file=certificate, dead_peers=hasty()
    ) as http:
        await until_given_up(http, tls_server)


@pytest.fixture
async def tunnel(
    tls_server: "FaultServer", monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[None]:
    """Route every request through a proxy to the fault server."""

    async def pump(source: ByteReceiveStream, sink: ByteSendStream) -> None:
        async for data in source:
            await sink.send(data)

    async def serve(client: SocketStream) -> None:
        async with client:
            while b"\r\n\r\n" not in await client.receive():
                pass
            await client.send(b"HTTP/1.1 200 Through\r\n\r\n")
            async with (
                await anyio.connect_tcp("127.0.0.1", tls_server.port) as platform,
                anyio.create_task_group() as both,
            ):
                both.start_soon(pump, platform, client)
                await pump(client, platform)
                both.cancel_scope.cancel()

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)  # noqa: S610 - not Django's
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{port}")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, serve)
        yield
        tasks.cancel_scope.cancel()


async def test_a_stream_through_a_proxy_is_watched_too(
    tls_server: "FaultServer", certificate: Path, tunnel: None
) -> None:
    """The proxy is the peer."""
    async with open_http(
        "https://platform.test", user_agent="x", ca_file=certificate, dead_peers=hasty()
    ) as http:
        await until_given_up(http, tls_server)


async def test_a_stream_that_was_left_is_watched_no_more(
    server: "FaultServer", http: Http
) -> None:
    """A closed connection is no longer watched."""
    never = anyio.Event()
    server.plan("rotate-stream", [HEAD, A, never])
    for _ in range(3):
        async with open_stream(http, "build", KEY) as stream:
            await anext(stream)
            assert http.dead_peers.count == 1
    assert http.dead_peers.count == 0
    never.set()


# -- a network to cut --


class Island:
    """A network of its own, on a thread that lives there: sockets keep where they are from.

    A probe goes out after 1 s of silence, and the kernel gives up after 2.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._thread.submit(self._settle).result()

    def _settle(self) -> None:
        if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "unshare")
        self._link("up")

    def _link(self, state: str) -> None:
        subprocess.run(["ip", "link", "set", "lo", state], check=True)

    def cut(self) -> None:
        """Drop all packets."""
        self._thread.submit(self._link, "down").result()

    def pair(self) -> tuple[socket.socket, socket.socket]:
        """Return both ends of a connection; the first is watched."""
        return self._thread.submit(self._pair).result()

    def _pair(self) -> tuple[socket.socket, socket.socket]:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            near = socket.create_connection(listening.getsockname())
            far, _ = listening.accept()
        near.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        near.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1)
        near.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
        near.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 1)
        near.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 2000)
        near.setblocking(False)
        return near, far

    def close(self) -> None:
        """Leave it; the network goes with its last socket."""
        self._thread.shutdown()


@pytest.fixture
def island() -> Iterator[Island]:
    """Give the test a network that it can cut."""
    need("network namespace", "ip")
    found = Island()
    yield found
    found.close()


async def test_a_cut_is_noticed_before_the_kernel_does_and_mere_silence_is_not_one(
    island: Island,
) -> None:
    """A peer that answers probes is kept; one that stops is detected in time."""
    gone: list[str] = []
    noticed = anyio.Event()

    def give_up(complaint: str) -> None:
        gone.append(complaint)
        noticed.set()

    near, far = island.pair()
    dead_peers = DeadPeerDetector(gone_after_seconds=1.7, probes=1)
    with near, far, dead_peers.watching(near, give_up):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(dead_peers.run)
            with anyio.move_on_after(2.5):
                await noticed.wait()
            assert gone == []
            island.cut()
            with anyio.fail_after(HANG_SECONDS):
                await noticed.wait()
            tasks.cancel_scope.cancel()
        assert gone == ["the peer answers no keepalive"]
        with pytest.raises(BlockingIOError):  # the kernel has not given up yet
            near.recv(1)
