"""Responses that would take much time are refused, and do not block the loop."""

import gzip
import time
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import pytest

from rensei_daemon.errors import Failure, TransientError

if TYPE_CHECKING:
    from platform_api.conftest import FaultServer
    from rensei_daemon.platform_api.http import Http

MIB = 1024 * 1024
HELD_UP_SECONDS = 1.0
"""What the loop may work between two turns, in processor time; it once was 3 to 14 s."""

PACKED = {"content_encoding": "gzip"}


async def _note_work(seen: list[float]) -> None:
    """Record the processor time that the loop takes between two of our turns."""
    while True:
        began = time.thread_time()
        await anyio.lowlevel.checkpoint()
        seen.append(time.thread_time() - began)


@pytest.mark.parametrize(
    "content",
    [
        b"[" * (16 * MIB),
        b"[" + b"{}," * (5 * MIB) + b"1]",
        b"[" + b"1," * (8 * MIB - 2) + b"1]",
    ],
    ids=["brackets", "objects", "numbers"],
)
async def test_a_small_packed_answer_of_millions_of_values_is_refused(
    server: "FaultServer", http: "Http", content: bytes
) -> None:
    """Values are counted before parsing; the error has a hint."""
    server.plan("/", server.say(200, content=gzip.compress(content, mtime=0), **PACKED))
    worked: list[float] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_note_work, worked)
        with pytest.raises(TransientError, match="more than 250,000 values") as caught:
            await http.call("POST", "/beat")
        await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    assert caught.value.failure is Failure.OVERSIZED
    assert "cancel waiting mutations" in caught.value.hint
    assert max(worked) < HELD_UP_SECONDS


async def test_the_largest_answer_that_is_read_holds_nobody_up(
    server: "FaultServer", http: "Http"
) -> None:
    """A quarter of a million values, deeply nested, are read in a thread."""
    content = b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b',"b":[' + b"1," * 149_990
    server.plan("/", server.say(200, content=content + b"1]}"))
    worked: list[float] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_note_work, worked)
        answer = await http.call("POST", "/beat")
        await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    assert len(answer.body["b"]) == 149_991
    assert max(worked) < HELD_UP_SECONDS


async def test_an_answer_in_crumbs_is_cut_off(server: "FaultServer", http: "Http") -> None:
    """Chunks of one byte are soon refused, and other tasks run in between."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    server.plan("/", head + b"1\r\na\r\n" * 100_000)
    taken = 0

    async def take_turns() -> None:
        nonlocal taken
        while True:
            await anyio.lowlevel.checkpoint()
            taken += 1

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(take_turns)
        with pytest.raises(TransientError, match="sends its answer in many tiny pieces"):
            await http.call("POST", "/beat")
        tasks.cancel_scope.cancel()
    assert taken >= 10_000 // 16
