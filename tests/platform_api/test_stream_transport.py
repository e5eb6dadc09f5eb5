"""Streams on connections of our own: heads by httpcore, bodies from the socket."""

import os
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import httpcore
import pytest
from deadlines import HANG_SECONDS
from polling import until

from platform_api.test_connection_owner import mute_platform
from rensei_daemon.errors import PlatformError, TransientError
from rensei_daemon.platform_api.http import Http, open_http
from rensei_daemon.platform_api.readable_sockets import ReadableSockets
from rensei_daemon.platform_api.socket_stream import SocketBackend

if TYPE_CHECKING:
    from platform_api.conftest import FaultServer, Step

KEY = "rsk_live_" + "c0ffee" * 10 + "beef"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
LAST = b"0\r\n\r\n"


def chunk(text: bytes) -> bytes:
    """Return a chunk of a body."""
    return b"%x\r\n%b\r\n" % (len(text), text)


async def body_of(http: Http) -> bytes:
    """Return the body of a stream; raises `TransientError`."""
    found = b""
    with anyio.fail_after(HANG_SECONDS):
        async with http.stream("/stream", bearer=KEY, query={}) as response:
            with http.border((KEY,)):
                async for piece in response.aiter_raw():
                    found += piece
    return found


@pytest.mark.parametrize(
    "steps",
    [
        [CHUNKED + chunk(b"one") + chunk(b"two") + LAST],
        [CHUNKED, chunk(b"one"), chunk(b"two"), LAST],
        [HINTS + HINTS + CHUNKED + chunk(b"one") + chunk(b"two") + LAST],
        [CHUNKED.replace(b"\r\n", b"\n") + chunk(b"one") + chunk(b"two") + LAST],
        [bytes([octet]) for octet in HINTS + CHUNKED + chunk(b"onetwo") + LAST],
        [HEAD + b"\r\nonetwo"],
        [HEAD + b"Content-Length: 6\r\n\r\none", b"two and more"],
    ],
    ids=["together", "apart", "hints", "lf", "octets", "until-closed", "length"],
)
async def test_a_body_begins_where_its_head_ends(
    server: "FaultServer", http: Http, steps: "list[Step]"
) -> None:
    """Nothing of it is lost, and nothing of the head is in it."""
    server.plan("/stream", steps)
    assert await body_of(http) == b"onetwo"


async def test_a_body_is_read_through_tls(
    tls_server: "FaultServer", certificate: Path
) -> None:
    """In several records, and in one."""
    event = b"x" * 40_000
    tls_server.plan("/stream", [CHUNKED + chunk(event), chunk(event) + LAST])
    async with open_http(tls_server.url, user_agent="x", ca_file=certificate) as http:
        assert await body_of(http) == 2 * event


@pytest.mark.parametrize(
    ("steps", "complaint"),
    [
        ([CHUNKED, chunk(b"one")], "peer closed connection without sending complete"),
        ([CHUNKED, b"canary\r\n"], "a chunk's head is no length$"),
        ([b"HTTP/1.1 101 Switching Protocols\r\n\r\ncanary"], "says nothing|101|HTTP"),
    ],
    ids=["cut-off", "no-chunk", "another-protocol"],
)
async def test_a_body_that_is_none_is_an_error(
    server: "FaultServer", http: Http, steps: "list[Step]", complaint: str
) -> None:
    """It says what is wrong, and quotes nothing of the body."""
    server.plan("/stream", steps)
    with pytest.raises(PlatformError, match=complaint) as caught:
        await body_of(http)
    assert "canary" not in str(caught.value)


async def test_a_head_of_many_lines_holds_up_nobody(
    server: "FaultServer", http: Http
) -> None:
    """Other tasks run between the lines, though all have arrived together."""
    lines = b"".join(b"X-%d: y\r\n" % number for number in range(500))
    server.plan("/stream", [CHUNKED[:-2] + lines + b"\r\n" + chunk(b"one") + LAST])
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await anyio.lowlevel.checkpoint()
            turns += 1

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(count)
        assert await body_of(http) == b"one"
        tasks.cancel_scope.cancel()
    assert turns >= 500


async def test_a_stream_cancelled_in_the_handshake_hangs_up() -> None:
    """The platform sees the connection end at once, not after garbage collection."""

    async def open_one(http: Http) -> None:
        async with http.stream("/", bearer=KEY, query={}):
            raise AssertionError

    async with mute_platform() as (http, mute):
        async with anyio.create_task_group() as calls:
            calls.start_soon(open_one, http)
            await mute.began.wait()
            calls.cancel_scope.cancel()
        await mute.ended.wait()


async def test_a_client_that_is_closed_ends_its_streams(server: "FaultServer") -> None:
    """Whoever reads one has an error, whatever the platform does."""
    server.plan("/stream", [CHUNKED + chunk(b"one"), anyio.Event()])
    async with open_http(server.url, user_agent="x") as http:

        async def read() -> None:
            with pytest.raises(TransientError):
                await body_of(http)

        with anyio.fail_after(HANG_SECONDS):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(read)
                await until(lambda: server.received)
                await anyio.wait_all_tasks_blocked()
                await http.aclose()


async def test_a_connection_that_cannot_be_taken_over_is_closed() -> None:
    """Without a free descriptor, or with options that the kernel refuses."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)  # noqa: S610 - not Django's
    async with listener:
        connect = partial(SocketBackend(ReadableSockets()).connect_tcp, "127.0.0.1", port)
        with one_descriptor_left(), pytest.raises(httpcore.ConnectError, match="Too many"):
            await connect(timeout=HANG_SECONDS)
        with pytest.raises(httpcore.ConnectError, match="Protocol not available"):
            await connect(HANG_SECONDS, socket_options=[(socket.SOL_TCP, 9999, 1)])


@contextmanager
def one_descriptor_left() -> Iterator[None]:
    """Let this process open one more file."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with Path(os.devnull).open() as lowest:
        free = lowest.fileno()
    resource.setrlimit(resource.RLIMIT_NOFILE, (free + 1, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


async def test_a_step_that_takes_too_long_is_an_error_of_its_own() -> None:
    """Connecting, shaking hands, reading and writing have limits."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)  # noqa: S610 - not Django's
    hang = {"timeout": 0.05}
    async with listener:
        stream = await SocketBackend(ReadableSockets()).connect_tcp(
            "127.0.0.1", port, timeout=HANG_SECONDS
        )
        steps: list[tuple[Any, type[Exception]]] = [
            (partial(stream.read, 10, **hang), httpcore.ReadTimeout),
            (partial(stream.write, b"x" * 50_000_000, **hang), httpcore.WriteTimeout),
        ]
        for step, error in steps:
            with anyio.fail_after(HANG_SECONDS), pytest.raises(error):
                await step()
        await stream.aclose()
        await stream.aclose()
        for step, error in (
            (partial(stream.read, 10), httpcore.ReadError),
            (partial(stream.write, b"x"), httpcore.WriteError),
        ):
            with pytest.raises(error):
                await step()
