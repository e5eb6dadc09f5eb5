"""One reader's connection, at the moments when a frame is half said."""

import json
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from deadlines import HANG_SECONDS

from rensei_daemon.core.credential import Credentials
from rensei_daemon.delivery.bursts import Bursts
from rensei_daemon.delivery.connection_quota import ConnectionQuota
from rensei_daemon.delivery.reader_connection import ReaderConnection, ReaderTimeouts
from rensei_daemon.delivery.subscribers import Subscribers
from rensei_daemon.sockets.peer import peer_of

HELLO = b'{"type":"HELLO","sessionId":"build"}\n'


class Worker:
    """The other end, which reads on request and never waits."""

    def __init__(self, subscribers: Subscribers, far: socket.socket) -> None:
        self.subscribers = subscribers
        self.heard = b""
        self._far = far
        self._credentials = Credentials()

    def publish(self, value: str) -> None:
        """Have the session's only value be another."""
        self._credentials = self._credentials.replaced({"A": value})
        self.subscribers.deliver_at_once(self._credentials)

    def drain(self) -> bytes:
        """Read what has arrived."""
        data = b""
        try:
            while chunk := self._far.recv(1 << 16):
                data += chunk
        except BlockingIOError:
            pass
        self.heard += data
        return data

    async def until(self, is_heard: Callable[[list[Any]], bool]) -> list[Any]:
        """Read until that holds of the whole frames; return them."""
        while not is_heard(frames := self.frames):
            await anyio.wait_readable(self._far)
            if not self.drain():
                break
        return frames

    @property
    def frames(self) -> list[Any]:
        """Every whole frame; raises `ValueError` for one that is damaged."""
        return [json.loads(line) for line in self.heard.split(b"\n")[:-1]]


@asynccontextmanager
async def joined(value: str, *, uid: int | None = None) -> AsyncIterator[Worker]:
    """Be attended to as a user, else oneself, over a socket that holds little; in 5 s."""
    subscribers = Subscribers("build", None, lambda: None, Bursts())
    os.seteuid(os.getuid() if uid is None else uid)
    try:
        near, far = socket.socketpair()
    finally:
        os.seteuid(os.getuid())
    near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    near.setblocking(False)
    far.setblocking(False)
    worker = Worker(subscribers, far)
    worker.publish(value)
    far.send(HELLO)
    reader = ReaderConnection(
        near, peer_of(near), {"build": subscribers}, ReaderTimeouts(), ConnectionQuota(8)
    )
    with far, anyio.fail_after(HANG_SECONDS):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(reader.serve)
            await anyio.wait_readable(far)
            await anyio.wait_all_tasks_blocked()
            yield worker
            tasks.cancel_scope.cancel()
        worker.drain()


def test_what_a_reader_may_cost() -> None:
    """The public client gives up after 5 s; a HELLO without values is held for 4."""
    assert ReaderTimeouts() == ReaderTimeouts(
        hello_seconds=5.0, first_seconds=4.0, stall_seconds=30.0
    )


async def test_no_bye_in_the_middle_of_a_frame() -> None:
    """Even if the socket has room for one at the shutdown."""
    async with joined("1") as worker:
        worker.publish("x" * 100_000)
        await anyio.wait_all_tasks_blocked()
        worker.drain()  # and in this very turn of the loop the daemon ends
    assert b'"xxx' in worker.heard
    assert b"BYE" not in worker.heard


async def test_a_bye_between_two_frames() -> None:
    """Readers that are up to date get BYE at a shutdown."""
    async with joined("1") as worker:
        worker.drain()
    assert worker.frames[-1] == {"type": "BYE", "reason": "shutdown"}


async def test_a_frame_is_finished_before_the_next_begins() -> None:
    """Two rotations in one iteration of the loop, and a reader that reads between them."""
    async with joined("1") as worker:
        worker.drain()
        worker.publish("x" * 30_000)
        worker.drain()
        worker.publish("3")
        frames = await worker.until(lambda said: said[-1].get("delta") == {"A": "3"})
    assert [frame["type"] for frame in frames] == ["INITIAL", "UPDATE", "UPDATE"]
    assert frames[1]["delta"] == {"A": "x" * 30_000}


async def test_a_reader_that_kept_us_waiting_gets_the_newest() -> None:
    """Outdated values are not sent any more."""
    async with joined("x" * 3000) as worker:
        for value in ("2", "3"):
            worker.publish(value)
            await anyio.wait_all_tasks_blocked()
        frames = await worker.until(lambda said: len(said) == 2)
    assert frames[1]["delta"] == {"A": "3"}


@pytest.mark.needs("root")
@pytest.mark.parametrize("is_up_to_date", [True, False])
async def test_who_may_have_it_is_asked_before_each_frame(is_up_to_date: bool) -> None:
    """A session that is given a group says no more to a reader outside of it."""
    async with joined("1" if is_up_to_date else "x" * 3000, uid=65534) as worker:
        if is_up_to_date:
            worker.drain()
        worker.subscribers.renew(12345)
        worker.publish("secret")
        frames = await worker.until(lambda said: said[-1:] == [NOT_PERMITTED])
    assert [frame["type"] for frame in frames] == ["INITIAL", "BYE"]


NOT_PERMITTED = {"type": "BYE", "reason": "not permitted"}
