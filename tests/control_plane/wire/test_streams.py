"""Streams and their connections: what each costs, how they begin, stand still and end."""

import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from deadlines import HANG_SECONDS
from platform_server import ORG, Server, running
from polling import until, until_answer
from raw_streams import PATH, RawStream, open_streams
from sqlalchemy import URL

from rensei_platform.bus.hub import end_spread
from rensei_platform.http.server import ACCEPTED_AT_ONCE
from rensei_platform.http.shedding import LOOK_SECONDS
from rensei_platform.http.streams import MOST_WAITING_BYTES
from rensei_platform.settings import ServerSettings

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)

OpenStream = Callable[..., Awaitable[RawStream]]
FRAME = b"event: UPDATE\ndata: " + b"x" * 10_000 + b"\n\n"


@pytest.fixture
async def open_stream() -> AsyncIterator[OpenStream]:
    """What opens a stream of a server."""
    async with open_streams() as open_one:

        async def open_stream(
            server: Server, session_id: str = "s", **more: int
        ) -> RawStream:
            return await open_one(server.url, server.key, session_id, **more)

        yield open_stream


async def until_open(server: Server, count: int) -> None:
    """Wait until so many streams are open."""
    await until(lambda: len(server.platform.hub) == count)


async def test_a_stream_holds_no_task(server: Server, open_stream: OpenStream) -> None:
    """Its request ends when it is open; who hangs up is forgotten at once."""
    before = len(anyio.get_running_tasks())
    streams = [await open_stream(server) for _ in range(20)]
    await until_open(server, 20)
    assert len(anyio.get_running_tasks()) <= before + 1
    for stream in streams:
        await stream.connection.aclose()
    await until_open(server, 0)


async def test_frames_are_chunks_in_order(server: Server, open_stream: OpenStream) -> None:
    """Each frame is one chunk, after a head that says so."""
    stream = await open_stream(server)
    (opened,) = server.platform.hub.all()
    assert opened.push(b"data: 1\n\n")
    assert opened.push(b"data: 2\n\n")
    opened.end()
    assert not opened.push(b"data: 3\n\n")
    with anyio.fail_after(HANG_SECONDS):
        assert (
            await stream.rest() == b"\r\n9\r\ndata: 1\n\n\r\n9\r\ndata: 2\n\n\r\n0\r\n\r\n"
        )
    await until_open(server, 0)


async def test_a_slow_reader_is_dropped(server: Server, open_stream: OpenStream) -> None:
    """Who lets too much wait is cut off, and nobody else is kept waiting."""
    slow = await open_stream(server, "slow", receive_bytes=4096)
    quick = await open_stream(server, "quick")
    told = {"slow": 0, "quick": 0}
    with anyio.fail_after(HANG_SECONDS):
        while len(server.platform.hub) == 2:
            for stream in server.platform.hub.all():
                told[stream.session_id] += stream.push(FRAME)
            await quick.read_until(FRAME)
        received = await slow.rest()
    # The kernel takes some more in before anything waits.
    assert MOST_WAITING_BYTES < told["slow"] * len(FRAME) < MOST_WAITING_BYTES + (16 << 20)
    assert told["slow"] < told["quick"]
    assert received.count(FRAME) < told["slow"]
    assert [s.session_id for s in server.platform.hub.all()] == ["quick"]


async def test_a_reader_that_stands_still_is_dropped(
    server: Server, open_stream: OpenStream
) -> None:
    """Who has not caught up between two keepalives is cut off."""
    await open_stream(server, receive_bytes=4096)
    (opened,) = server.platform.hub.all()
    with anyio.fail_after(HANG_SECONDS):
        while _waiting(opened) < 10_000:
            opened.push(FRAME)
            await anyio.lowlevel.checkpoint()
    opened.keep_alive()
    await anyio.lowlevel.checkpoint()
    assert len(server.platform.hub) == 1
    opened.keep_alive()
    await until_open(server, 0)


def _waiting(opened: object) -> int:
    return int(opened._transport.get_write_buffer_size())  # type: ignore[attr-defined]


async def test_a_reader_that_keeps_up_is_kept(
    server: Server, open_stream: OpenStream
) -> None:
    """Keepalives come, and hurt nobody who reads them."""
    stream = await open_stream(server)
    (opened,) = server.platform.hub.all()
    with anyio.fail_after(HANG_SECONDS):
        for _ in range(4):
            opened.keep_alive()
            await stream.read_until(b": keepalive\n\n")
    assert len(server.platform.hub) == 1


async def test_streams_end_one_after_the_other(
    server: Server, open_stream: OpenStream
) -> None:
    """Spread over the time that is given, so that no crowd comes back at once."""
    streams = [await open_stream(server) for _ in range(10)]
    ended: list[float] = []

    async def listen(stream: RawStream) -> None:
        assert (await stream.rest()).endswith(b"0\r\n\r\n")
        ended.append(time.monotonic() - begun)

    begun = time.monotonic()
    async with anyio.create_task_group() as tasks:
        for stream in streams:
            tasks.start_soon(listen, stream)
        await end_spread(server.platform.hub, 0.2, most_per_second=1)
    ended.sort()
    for number, at in enumerate(ended):
        assert at >= number * (0.2 / 10 - 0.001)  # uvloop sleeps whole milliseconds
    await until_open(server, 0)


async def test_few_streams_end_soon(server: Server, open_stream: OpenStream) -> None:
    """A server with few streams does not take the whole time to stop."""
    for _ in range(5):
        await open_stream(server)
    begun = time.monotonic()
    await end_spread(server.platform.hub, 3600)
    assert time.monotonic() - begun < HANG_SECONDS
    await until_open(server, 0)


async def test_head_opens_no_stream(server: Server) -> None:
    """It has the head of one."""
    host, port = server.url.removeprefix("http://").split(":")
    async with await anyio.connect_tcp(host, int(port)) as connection:
        await connection.send(
            f"HEAD {PATH}?sessionId=s HTTP/1.1\r\nHost: {host}\r\n"
            f"Authorization: Bearer {server.key}\r\nConnection: close\r\n\r\n".encode()
        )
        with anyio.fail_after(HANG_SECONDS):
            answer = await RawStream(connection).rest()
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\n")
    assert len(server.platform.hub) == 0


async def test_more_streams_than_there_is_room_for(
    database: URL, tmp_path: Path, open_stream: OpenStream
) -> None:
    """They are answered 503 with when to come back; the rest of the server goes on."""
    settings = ServerSettings(most_streams=2)
    async with running(database, tmp_path / "key", settings) as server:
        first = await open_stream(server)
        await open_stream(server)
        refused = await server.call("GET", PATH, params={"sessionId": "s"})
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) in range(10, 21)
        assert refused.json() == {"error": "Too many streams are open"}
        body = {"orgId": ORG, "sessionId": "s"}
        await server.ok("POST", "/api/daemon/credentials/snapshot", body)
        await first.connection.aclose()
        await until_open(server, 1)
        await open_stream(server)


async def test_many_connections_are_accepted_at_once(server: Server) -> None:
    """A fleet that comes back does not overflow the kernel's queue behind a long turn."""
    before = _open_files()
    clients = _queue(server, QUEUED)
    turns = 0
    while _open_files() < before + 2 * QUEUED:
        await anyio.lowlevel.checkpoint()
        turns += 1
    assert turns < QUEUED / 4
    for client in clients:
        client.close()


QUEUED = 10 * ACCEPTED_AT_ONCE
MOST_WAITING = 100
CROWD = MOST_WAITING + 5 * ACCEPTED_AT_ONCE
"""Still a long queue after a few turns."""


def _queue(server: Server, count: int) -> list[socket.socket]:
    """Connect to a server whose event loop has no turn meanwhile."""
    host, port = server.url.removeprefix("http://").split(":")
    clients = [socket.socket() for _ in range(count)]
    for client in clients:
        client.setblocking(False)
        client.connect_ex((host, int(port)))
    return clients


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_a_long_queue_is_told_to_return(
    database: URL, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a fleet asks is refused until the queue is short; heartbeats are answered."""
    settings = ServerSettings(most_waiting=MOST_WAITING, stop_seconds=0)
    async with running(database, tmp_path / "platform.key", settings) as server:
        await _crowd_out(server, capsys)


async def _crowd_out(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    worker = await server.register()
    body = {"orgId": ORG, "sessionId": "s"}
    crowd = _queue(server, CROWD)
    time.sleep(2 * LOOK_SECONDS)  # noqa: ASYNC251 # passes time: no turn for the server
    refused = await server.call("POST", "/api/daemon/credentials/snapshot", body)
    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) >= 5
    for client in crowd:
        client.close()
    crowd = _queue(server, CROWD)
    time.sleep(2 * LOOK_SECONDS)  # noqa: ASYNC251 # passes time
    await worker.beat()
    assert "server.busy" in capsys.readouterr().out
    for client in crowd:
        client.close()
    await until_answer(partial(_takes_snapshot, server))


async def _takes_snapshot(server: Server) -> bool:
    body = {"orgId": ORG, "sessionId": "s"}
    taken = await server.call("POST", "/api/daemon/credentials/snapshot", body)
    return taken.status_code == 200
