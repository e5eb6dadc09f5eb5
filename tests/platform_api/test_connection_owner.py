"""No connection outlives a failed request or its client."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import httpx
import pytest
from anyio.abc import SocketAttribute, SocketStream
from deadlines import HANG_SECONDS

from rensei_daemon.errors import TransientError
from rensei_daemon.platform_api import transport
from rensei_daemon.platform_api.connection_owner import OwningTransport
from rensei_daemon.platform_api.http import Http, open_http


class MutePlatform:
    """Accepts connections, reads the start of a TLS handshake, and never answers."""

    def __init__(self) -> None:
        self.began = anyio.Event()
        self.ended = anyio.Event()

    async def serve(self, stream: SocketStream) -> None:
        """Listen to the first connection until it ends."""
        async with stream:
            await stream.receive()
            self.began.set()
            try:
                await stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                self.ended.set()


@asynccontextmanager
async def mute_platform() -> AsyncIterator[tuple[Http, MutePlatform]]:
    """Open a client for a platform whose TLS handshake never ends."""
    mute = MutePlatform()
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(SocketAttribute.local_port)  # noqa: S610 - not Django's
    with anyio.fail_after(HANG_SECONDS):
        async with listener, anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, mute.serve)
            async with open_http(f"https://127.0.0.1:{port}", user_agent="x") as http:
                yield http, mute
            tasks.cancel_scope.cancel()


async def test_a_call_cancelled_in_the_handshake_hangs_up() -> None:
    """The platform sees the connection end at once, not after garbage collection."""
    async with mute_platform() as (http, mute):
        async with anyio.create_task_group() as calls:
            calls.start_soon(http.call, "GET", "/")
            await mute.began.wait()
            calls.cancel_scope.cancel()
        await mute.ended.wait()


async def test_a_replaced_pool_closes_what_it_was_connecting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The call fails, and the platform sees the connection end."""
    monkeypatch.setattr(transport, "USUAL_CONNECTIONS", 1)
    monkeypatch.setattr(transport, "QUEUE_SECONDS", 0.05)
    monkeypatch.setattr(transport, "CONNECT_SECONDS", HANG_SECONDS)

    async def call(http: Http) -> None:
        with pytest.raises(TransientError):
            await http.call("GET", "/")

    async with mute_platform() as (http, mute), anyio.create_task_group() as calls:
        calls.start_soon(call, http)
        await mute.began.wait()
        await call(http)
        assert http.rebuilds == 1
        await mute.ended.wait()


class Connecting(httpx.AsyncBaseTransport):
    """A fake transport that connects when the test says so."""

    def __init__(self) -> None:
        self.go = anyio.Event()
        self.answer = anyio.Event()
        self.stream = Stream()
        self.is_closed = False

    async def aclose(self) -> None:
        """Close what it knows of."""
        self.is_closed = True

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Connect, and answer."""
        await self.go.wait()
        told = {"return_value": self.stream}
        await request.extensions["trace"]("connection.connect_tcp.complete", told)
        await self.answer.wait()
        return httpx.Response(200)


class Stream:
    """A connection that knows whether it is open."""

    is_open = True

    async def aclose(self) -> None:
        """Close it, which takes a moment."""
        await anyio.lowlevel.checkpoint()
        self.is_open = False


async def test_what_connects_after_the_end_is_closed_at_once() -> None:
    """Its request fails with the error of a replaced pool."""
    inner = Connecting()
    owner = OwningTransport(inner)

    async def send() -> None:
        with pytest.raises(httpx.PoolTimeout):
            await owner.handle_async_request(httpx.Request("GET", "http://platform.test"))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(send)
        await anyio.wait_all_tasks_blocked()
        await owner.aclose()
        inner.go.set()
    assert not inner.stream.is_open


async def test_a_cancelled_request_takes_the_time_to_close() -> None:
    """Closing awaits, and is not cancelled."""
    inner = Connecting()
    inner.go.set()
    async with anyio.create_task_group() as tasks:
        request = httpx.Request("GET", "http://platform.test")
        tasks.start_soon(OwningTransport(inner).handle_async_request, request)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert not inner.stream.is_open


async def test_a_connection_that_is_answered_over_stays() -> None:
    """It belongs to the pool, which may use it again."""
    inner = Connecting()
    inner.go.set()
    inner.answer.set()
    owner = OwningTransport(inner)
    await owner.handle_async_request(httpx.Request("GET", "http://platform.test"))
    await owner.aclose()
    assert inner.stream.is_open
    assert inner.is_closed
