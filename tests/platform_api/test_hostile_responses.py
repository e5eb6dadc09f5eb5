"""Answers made to keep a daemon busy: refused in words, and the loop goes on meanwhile."""

import gzip
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import pytest

from rensei_daemon.errors import Failure, TransientError

if TYPE_CHECKING:
    from platform_api.conftest import FaultServer
    from rensei_daemon.platform_api.http import Http

MIB = 1024 * 1024
LATE_SECONDS = 1.0
"""How late the loop may be on a busy machine; it was late by 3 to 14 s."""

PACKED = {"content_encoding": "gzip"}


async def _lateness(seen: list[float]) -> None:
    """Note by how much each wait of a millisecond is longer."""
    while True:
        began = anyio.current_time()
        await anyio.sleep(0.001)
        seen.append(anyio.current_time() - began - 0.001)


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
    """Its values are counted before any is made; the remedy is named."""
    server.plan("/", server.say(200, content=gzip.compress(content, mtime=0), **PACKED))
    late: list[float] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_lateness, late)
        with pytest.raises(TransientError, match="more than 250,000 values") as caught:
            await http.call("POST", "/beat")
        await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    assert caught.value.failure is Failure.OVERSIZED
    assert "cancel waiting mutations" in caught.value.hint
    assert max(late) < LATE_SECONDS


async def test_the_largest_answer_that_is_read_holds_nobody_up(
    server: "FaultServer", http: "Http"
) -> None:
    """A quarter of a million values, nested deeply enough to be cut: read in a thread."""
    content = b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b',"b":[' + b"1," * 149_990
    server.plan("/", server.say(200, content=content + b"1]}"))
    late: list[float] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_lateness, late)
        answer = await http.call("POST", "/beat")
        await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    assert len(answer.body["b"]) == 149_991
    assert max(late) < LATE_SECONDS


async def test_an_answer_in_crumbs_is_cut_off(server: "FaultServer", http: "Http") -> None:
    """One byte a chunk: soon over, and others have their turn in between."""
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
