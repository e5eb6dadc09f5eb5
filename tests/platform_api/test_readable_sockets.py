"""Sockets that wait in one epoll."""

import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import anyio
import anyio.lowlevel
import pytest
from background import running
from deadlines import HANG_SECONDS
from polling import until

from rensei_daemon.platform_api.readable_sockets import ReadableSockets

Pair = tuple[socket.socket, socket.socket]


@contextmanager
def pairs(count: int) -> Iterator[list[Pair]]:
    """Lend pairs of connected sockets: near and far ends."""
    made = [socket.socketpair() for _ in range(count)]
    try:
        for near, _ in made:
            near.setblocking(False)
        yield made
    finally:
        for near, far in made:
            near.close()
            far.close()


async def read(sockets: ReadableSockets, near: socket.socket, into: list[bytes]) -> None:
    """Read one message."""
    while True:
        await sockets.wait(near)
        try:
            into.append(near.recv(100))
            return
        except BlockingIOError:
            continue


@pytest.mark.parametrize("is_run", [True, False])
async def test_each_is_read_as_often_as_something_comes(is_run: bool) -> None:
    """All at once, and one by one; also where nothing runs."""
    sockets = ReadableSockets()
    found: list[bytes] = []
    with pairs(50) as made, anyio.fail_after(HANG_SECONDS):
        async with anyio.create_task_group() as tasks:
            if is_run:
                tasks.start_soon(sockets.run)
                await anyio.wait_all_tasks_blocked()
            for text in (b"one", b"two"):
                async with anyio.create_task_group() as readers:
                    for near, _ in made:
                        readers.start_soon(read, sockets, near, found)
                    await anyio.wait_all_tasks_blocked()
                    for _, far in made:
                        far.send(text)
            tasks.cancel_scope.cancel()
    assert found == [b"one"] * 50 + [b"two"] * 50


async def test_what_arrived_before_the_wait_is_seen() -> None:
    """Whether the socket is new or was read before."""
    sockets = ReadableSockets()
    found: list[bytes] = []
    with pairs(1) as ((near, far),):
        async with running(sockets.run):
            for text in (b"one", b"two"):
                far.send(text)
                await read(sockets, near, found)
    assert found == [b"one", b"two"]


async def test_a_new_socket_with_the_number_of_a_closed_one_is_waited_for() -> None:
    """The kernel has forgotten the closed one."""
    sockets = ReadableSockets()
    found: list[bytes] = []
    numbers = []
    async with running(sockets.run):
        for text in (b"one", b"two"):
            with pairs(1) as ((near, far),):
                numbers.append(near.fileno())
                async with anyio.create_task_group() as readers:
                    readers.start_soon(read, sockets, near, found)
                    await anyio.wait_all_tasks_blocked()
                    far.send(text)
    assert found == [b"one", b"two"]
    assert numbers[0] == numbers[1]


async def test_a_wait_that_was_cancelled_costs_nothing_later() -> None:
    """What comes then wakes nobody, once, and not again and again."""
    sockets = ReadableSockets()
    found: list[bytes] = []
    with pairs(1) as ((near, far),):
        async with running(sockets.run):
            async with anyio.create_task_group() as readers:
                readers.start_soon(read, sockets, near, found)
                await anyio.wait_all_tasks_blocked()
                readers.cancel_scope.cancel()
            far.send(b"one")
            epoll = sockets._epoll
            assert epoll is not None
            await until(lambda: not select.select([epoll], [], [], 0)[0])
            assert not found
            await read(sockets, near, found)
    assert found == [b"one"]


async def test_closing_ends_the_wait() -> None:
    """The reader finds the socket closed."""
    sockets = ReadableSockets()
    with pairs(1) as ((near, _),):
        async with running(sockets.run), anyio.create_task_group() as readers:

            async def read_closed() -> None:
                await sockets.wait(near)
                with pytest.raises(OSError, match="Bad file descriptor"):
                    near.recv(100)

            readers.start_soon(read_closed)
            await anyio.wait_all_tasks_blocked()
            sockets.notify_closing(near)
            near.close()


async def test_readers_outlive_what_ran_for_them() -> None:
    """They wait by themselves from then on."""
    sockets = ReadableSockets()
    found: list[bytes] = []
    with pairs(2) as made, anyio.fail_after(HANG_SECONDS):
        async with anyio.create_task_group() as readers:
            async with running(sockets.run):
                for near, _ in made:
                    readers.start_soon(read, sockets, near, found)
                await anyio.wait_all_tasks_blocked()
            await anyio.wait_all_tasks_blocked()
            for _, far in made:
                far.send(b"one")
    assert found == [b"one", b"one"]
