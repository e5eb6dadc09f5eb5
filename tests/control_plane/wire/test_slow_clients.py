"""Clients that are slower than a server waits: silent, a byte at a time, never reading."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
import pytest
from anyio.abc import SocketStream
from deadlines import HANG_SECONDS
from platform_server import ORG, Server, running, sqlite_url
from sqlalchemy import insert

from rensei_platform.http import server as server_module
from rensei_platform.http.connections import (
    MOST_HEAD_BYTES,
    MOST_PIPELINED,
    Patience,
)
from rensei_platform.http.server import Exposure
from rensei_platform.store.tables import hosts

TOO_SLOW = b'{"error":"The request took too long to arrive"}'
ASK = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
BEGUN = ASK.removesuffix(b"\r\n")
HEAD = (
    "POST /api/admin/hosts HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n"
)


def patient(**limits: float) -> Exposure:
    """Return limits, of which those that are not named are out of reach."""
    never = {"head": 3600.0, "request": 3600.0, "answer": 3600.0}
    return Exposure(patience=Patience(**(never | limits)))


@pytest.fixture(autouse=True)
def _quick_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections are looked at often."""
    monkeypatch.setattr(server_module, "CHECK_SECONDS", 0.02)


@asynccontextmanager
async def connected(server: Server) -> AsyncIterator[SocketStream]:
    """Lend a connection to a server."""
    raw = socket.socket()
    host, port = server.url.removeprefix("http://").split(":")
    await anyio.to_thread.run_sync(raw.connect, (host, int(port)))
    raw.setblocking(False)
    async with await SocketStream.from_socket(raw) as stream:
        yield stream


async def all_of(connection: SocketStream) -> bytes:
    """Return everything that comes until the connection ends."""
    found = b""
    with anyio.fail_after(HANG_SECONDS), suppress(anyio.BrokenResourceError):
        async for part in connection:
            found += part
    return found


async def drip(connection: SocketStream, text: bytes) -> None:
    """Send a byte now and then, until the connection ends."""
    for byte in text * 1000:
        try:
            await connection.send(bytes([byte]))
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            return
        await anyio.sleep(0.02)  # passes time


@pytest.fixture
async def hasty(tmp_path: Path) -> AsyncIterator[Server]:
    """A server that waits a moment for a request."""
    limits = patient(head=0.1, request=0.2)
    async with running(sqlite_url(tmp_path), tmp_path / "k", exposure=limits) as server:
        yield server


@pytest.mark.parametrize("sent", ["", "\r\n", "GET / HT", HEAD])
async def test_a_request_that_does_not_come_is_not_awaited(
    hasty: Server, sent: str
) -> None:
    """Whether nothing of it comes, or less than its head."""
    async with connected(hasty) as connection:
        await connection.send(sent.format(key=hasty.key).encode())
        assert (await all_of(connection)).endswith(TOO_SLOW)


async def test_headers_of_a_byte_at_a_time_come_to_an_end(hasty: Server) -> None:
    """However alive a client seems, it has the time of one head."""
    async with connected(hasty) as connection, anyio.create_task_group() as tasks:
        await connection.send(b"GET / HTTP/1.1\r\n")
        tasks.start_soon(drip, connection, b"X-A: b\r\n")
        await all_of(connection)
        tasks.cancel_scope.cancel()


async def test_a_body_of_a_byte_at_a_time_comes_to_an_end(hasty: Server) -> None:
    """And nothing is done with the part of it that came."""
    head = HEAD.format(key=hasty.key) + "Content-Length: 100000\r\n\r\n"
    async with connected(hasty) as connection, anyio.create_task_group() as tasks:
        await connection.send(head.encode())
        tasks.start_soon(drip, connection, b" ")
        await all_of(connection)
        tasks.cancel_scope.cancel()
    assert await hasty.ok("GET", "/api/admin/hosts") == {"hosts": []}


async def test_a_body_has_more_time_than_a_head(tmp_path: Path) -> None:
    """A large one over a slow line is whole after a while."""
    limits = patient(head=0.1)
    async with running(sqlite_url(tmp_path), tmp_path / "k", exposure=limits) as server:
        head = HEAD.format(key=server.key) + "Content-Length: 12\r\n\r\n"
        async with connected(server) as connection:
            await connection.send(head.encode())
            await anyio.sleep(0.3)  # passes time
            await connection.send(b'{"name":"h"}')
            assert b"201 Created" in await connection.receive()


async def test_a_second_request_is_awaited_as_the_first(hasty: Server) -> None:
    """On the same connection, after a good one or right behind it."""
    async with connected(hasty) as connection:
        await connection.send(ASK)
        assert b"200 OK" in await connection.receive()
        await connection.send(ASK[:10])
        assert (await all_of(connection)).endswith(TOO_SLOW)
    async with connected(hasty) as connection:
        await connection.send(ASK + ASK[:10])
        found = await all_of(connection)
        assert b"200 OK" in found
        assert found.endswith(TOO_SLOW)


async def test_a_connection_in_use_stays(hasty: Server) -> None:
    """What is awaited is a request that has begun; a stream is not one."""
    path = "/api/daemon/credentials/rotate-stream?sessionId=s"
    head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    async with connected(hasty) as stream, connected(hasty) as connection:
        await stream.send(f"{head}Authorization: Bearer {hasty.key}\r\n\r\n".encode())
        await stream.receive()
        for _ in range(8):
            await connection.send(ASK)
            assert b"200 OK" in await connection.receive()
            await anyio.sleep(0.05)  # passes time
        assert len(hasty.platform.hub) == 1


async def is_dropped(server: Server, sent: bytes) -> None:
    """Send to a server and read nothing, until it has dropped the connection."""
    host, port = server.url.removeprefix("http://").split(":")
    with socket.socket() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await anyio.to_thread.run_sync(raw.connect, (host, int(port)))
        await anyio.to_thread.run_sync(raw.sendall, sent)
        with anyio.fail_after(HANG_SECONDS), suppress(ConnectionError):
            while True:
                raw.send(b"\r\n")
                await anyio.sleep(0.02)  # passes time


async def test_an_answer_that_is_not_read_is_dropped(tmp_path: Path) -> None:
    """It would be kept in memory for as long as the client is there."""
    limits = patient(answer=0.1)
    async with running(sqlite_url(tmp_path), tmp_path / "k", exposure=limits) as server:
        row = {"org_id": ORG, "created_at": server.platform.now()}
        rows = [{"id": f"h{n}", "hostname": "n" * 10_000, **row} for n in range(300)]
        async with server.platform.store.write() as db:
            await db.execute(insert(hosts), rows)
        head = "GET /api/admin/hosts?limit=500 HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        ask = f"{head}Authorization: Bearer {server.key}\r\n\r\n".encode()
        await is_dropped(server, ask * MOST_PIPELINED)


@pytest.mark.parametrize(
    "head",
    [
        BEGUN + b"X: " + b"a" * MOST_HEAD_BYTES + b"\r\n\r\n",
        BEGUN + b"X: a\r\n" * (MOST_HEAD_BYTES // len("X: a\r\n")),
        BEGUN + b"X: " + b"a" * MOST_HEAD_BYTES,
        ASK.replace(b"healthz", b"a" * MOST_HEAD_BYTES),
    ],
    ids=["large", "many", "endless", "url"],
)
async def test_a_head_is_not_read_without_limit(tmp_path: Path, head: bytes) -> None:
    """Neither one large header, nor many small ones, nor one that has no end, nor a URL."""
    never = patient()
    async with (
        running(sqlite_url(tmp_path), tmp_path / "k", exposure=never) as server,
        connected(server) as connection,
    ):
        await connection.send(head)
        found = await all_of(connection)
    assert found.startswith(b"HTTP/1.1 431 ")
    assert found.endswith(b'{"error":"The head of the request is too large"}')


async def test_a_large_head_and_a_large_body_are_read(tmp_path: Path) -> None:
    """Up to the limit of each; what came before on the connection does not count."""
    async with running(sqlite_url(tmp_path), tmp_path / "k") as server:
        large = {"x-large": "a" * (MOST_HEAD_BYTES - 1024)}
        for _ in range(3):
            answer = await server.call("GET", "/api/admin/hosts", headers=large)
            assert answer.status_code == 200
            body = {"name": "k", "unknown": "a" * 4 * MOST_HEAD_BYTES}
            await server.ok("POST", "/api/admin/keys", body, headers=large)


async def test_a_crowd_of_requests_on_one_connection_is_dropped(tmp_path: Path) -> None:
    """They would be read into memory faster than they are answered."""
    never = patient()
    async with running(sqlite_url(tmp_path), tmp_path / "k", exposure=never) as server:
        async with connected(server) as connection:
            await connection.send(ASK * (MOST_PIPELINED + 1))
            found = b""
            while found.count(b"200 OK") <= MOST_PIPELINED:
                found += await connection.receive()
        await is_dropped(server, ASK * 1000)
