"""Accepting clients: what happens to each connection, and to an error of `accept`."""

import os
import resource
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from deadlines import HANG_SECONDS

from rensei_daemon.sockets.peer import Peer, peer_of
from rensei_daemon.sockets.serving import PAUSE_SECONDS, Acceptor, serve_file


class Accepts(socket.socket):
    """A listening socket whose next calls of `accept` fail as given."""

    failures: list[OSError]

    def accept(self) -> tuple[socket.socket, Any]:
        """Fail, or accept."""
        if self.failures:
            raise self.failures.pop(0)
        return super().accept()


@pytest.fixture
async def listening() -> AsyncIterator[Accepts]:
    """A unix socket without a file, at the abstract address `name`."""
    with Accepts(socket.AF_UNIX) as made, anyio.fail_after(HANG_SECONDS):
        made.failures = []
        made.setblocking(False)
        made.bind("")  # the kernel chooses an address
        made.listen()
        yield made


class Served:
    """What a handler was given."""

    def __init__(self) -> None:
        self.peers: list[Peer] = []
        self.failures: list[str] = []
        """Why connections could not be accepted."""
        self.news = anyio.Event()

    async def handle(self, connection: socket.socket, peer: Peer) -> None:
        """Note the client, answer it and return."""
        assert connection.getblocking() is False
        self.peers.append(peer)
        connection.send(b"hello")
        self.news.set()


@asynccontextmanager
async def accepting(
    listening: socket.socket, identify: Any = peer_of
) -> AsyncIterator[Served]:
    """Accept clients while the block runs."""
    served = Served()
    async with anyio.create_task_group() as clients:
        acceptor = Acceptor(clients, served.handle, served.failures.append, identify)
        clients.start_soon(acceptor.run, listening)
        yield served
        clients.cancel_scope.cancel()


def connect(listening: socket.socket) -> socket.socket:
    """Be a client."""
    client = socket.socket(socket.AF_UNIX)
    client.setblocking(False)
    client.connect(listening.getsockname())
    return client


async def read_all(client: socket.socket) -> bytes:
    """Read to the end of the connection."""
    data = b""
    with client:
        while True:
            await anyio.wait_readable(client)
            if not (chunk := client.recv(100)):
                return data
            data += chunk


async def test_a_client_is_served_with_its_user_and_process(listening: Accepts) -> None:
    """The connection is closed when the handler returns."""
    async with accepting(listening) as served:
        assert await read_all(connect(listening)) == b"hello"
    assert served.peers == [
        Peer(
            pid=os.getpid(),
            uid=os.geteuid(),
            gids=frozenset({os.getegid(), *os.getgroups()}),
        )
    ]


async def test_a_shortage_of_descriptors_is_reported_and_retried(
    listening: Accepts,
) -> None:
    """The client waits in the kernel's queue, and `accept` is not called in a busy loop."""
    listening.failures = [OSError(24, "Too many open files")] * 2
    async with accepting(listening) as served:
        client, started = connect(listening), anyio.current_time()
        assert await read_all(client) == b"hello"
        took = anyio.current_time() - started
    assert took >= 2 * PAUSE_SECONDS
    assert served.failures == ["Too many open files"] * 2


async def test_another_error_is_reported_with_its_own_reason(listening: Accepts) -> None:
    """It is not taken for a shortage of descriptors."""
    listening.failures = [OSError(1, "Operation not permitted")]
    async with accepting(listening) as served:
        assert await read_all(connect(listening)) == b"hello"
    assert served.failures == ["Operation not permitted"]


async def test_a_client_that_left_before_it_was_accepted_is_no_failure(
    listening: Accepts,
) -> None:
    """The next one is accepted at once, and nothing is reported."""
    listening.failures = [ConnectionAbortedError()] * 50
    async with accepting(listening) as served:
        with anyio.fail_after(50 * PAUSE_SECONDS):
            assert await read_all(connect(listening)) == b"hello"
    assert served.failures == []


async def test_a_client_whose_process_is_unknown_is_not_served(listening: Accepts) -> None:
    """Its connection is closed, this is reported, and the next client is served."""
    unknown = [OSError(107, "Transport endpoint is not connected")]

    def identify(connection: socket.socket) -> Peer:
        if unknown:
            raise unknown.pop()
        return peer_of(connection)

    async with accepting(listening, identify) as served:
        assert await read_all(connect(listening)) == b""
        assert await read_all(connect(listening)) == b"hello"
    assert len(served.peers) == 1
    assert served.failures == ["Transport endpoint is not connected"]


async def test_a_burst_of_clients_lets_other_tasks_run(listening: Accepts) -> None:
    """Each accepted connection is served before the next one is accepted."""
    async with accepting(listening) as served:
        clients = [connect(listening) for _ in range(20)]
        await served.news.wait()
        assert len(served.peers) == 1
        for client in clients:
            assert await read_all(client) == b"hello"


async def test_handlers_end_before_the_file_is_removed(tmp_path: Path) -> None:
    """When the server is cancelled, clients still find the file of a server that stops."""
    path, seen, failures = tmp_path / "s", list[bool](), list[str]()
    entered = anyio.Event()

    async def handle(connection: socket.socket, peer: Peer) -> None:
        entered.set()
        try:
            await anyio.sleep_forever()
        finally:
            for _ in range(10):  # everything else that is cancelled ends meanwhile
                await anyio.lowlevel.cancel_shielded_checkpoint()
            seen.append(path.is_socket())

    async def serve(*, task_status: Any) -> None:
        await serve_file(path, handle, failures.append, task_status=task_status)

    with anyio.fail_after(HANG_SECONDS):
        async with anyio.create_task_group() as tasks:
            await tasks.start(serve)
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(path))
                await entered.wait()
                tasks.cancel_scope.cancel()
    assert (seen, failures) == ([True], [])
    assert not path.exists()


async def test_a_real_shortage_of_descriptors_is_survived(listening: Accepts) -> None:
    """A client that connected meanwhile is served as soon as a descriptor is free."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with accepting(listening) as served:
        client = connect(listening)
        lowest = os.dup(0)
        os.close(lowest)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
        try:
            while not served.failures:
                await anyio.lowlevel.checkpoint()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert await read_all(client) == b"hello"
    assert served.failures == ["Too many open files"]
