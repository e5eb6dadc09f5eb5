"""Readers from before a restart: back, ended, or named."""

import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from boards import empty_board
from deadlines import HANG_SECONDS

from rensei_daemon.core.board import Board, report
from rensei_daemon.core.credential import Credentials, difference
from rensei_daemon.core.health import ConsumerHealth, SessionHealth
from rensei_daemon.core.status import to_json
from rensei_daemon.delivery.credential_socket import CredentialSocket
from rensei_daemon.tasks.former_readers import await_readers, former_readers


def _now() -> datetime:
    return datetime.now(UTC)


def _last(pids: dict[int, str], *, age_seconds: float = 0.0) -> dict[str, Any]:
    """Return the last status of a daemon that had these readers."""
    board, at = empty_board(), _now() - timedelta(seconds=age_seconds)
    consumers = [
        ConsumerHealth(kind="socket", name=name, generation=1, pid=pid)
        for pid, name in pids.items()
    ]
    consumers.append(ConsumerHealth(kind="env_file", name="/run/build.env", generation=1))
    board.post(SessionHealth(id="build", since=at, added_at=at, consumers=tuple(consumers)))
    return to_json(report(board, at))


@pytest.mark.parametrize(
    "last",
    [
        None,
        {},
        {"reported_at": None, "sessions": []},
        {"reported_at": "2999-01-01T00:00:00Z", "sessions": [{"id": "build"}]},
        _last({1: "init"}, age_seconds=1e9),
    ],
)
def test_without_a_state_of_this_boot_nobody_is_awaited(last: Any) -> None:
    """Whatever the file says: process ids mean nothing after a reboot."""
    assert former_readers(last, now=_now()) == {}


@asynccontextmanager
async def restarted(
    directory: Path, pids: dict[int, str]
) -> AsyncIterator[tuple[CredentialSocket, Board]]:
    """Run a daemon's socket and its look for readers of before."""
    sockets, board = CredentialSocket(), empty_board()
    subscribers = sockets.subscribers("build", None)
    with anyio.fail_after(HANG_SECONDS):
        async with anyio.create_task_group() as tasks:
            await tasks.start(sockets.serve, directory / "c.sock")
            former = former_readers(_last(pids), now=_now())
            tasks.start_soon(await_readers, former, sockets, board)
            new = Credentials().replaced({"A": "1"})
            await subscribers.deliver(new, difference(Credentials(), new))
            yield sockets, board
            tasks.cancel_scope.cancel()


async def _until(board: Board, *messages: str) -> None:
    while [alarm.message for alarm in board.alarms.values()] != list(messages):
        await anyio.lowlevel.checkpoint()


async def test_a_reader_that_does_not_come_back_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The condition has both counts; a process that has ended is not expected."""
    monkeypatch.setattr("rensei_daemon.tasks.former_readers.LOOK_SECONDS", 0.01)
    async with await anyio.open_process(["sleep", "60"]) as other:
        pids = {os.getpid(): "worker (pid 1)", other.pid: "deaf (pid 2)"}
        async with restarted(tmp_path, pids) as (_, board):
            before = "session build: readers before the restart: 2, back: "
            await _until(board, f"{before}0; not back: {_in_order(pids)}")
            (shown,) = (
                condition
                for condition in report(board, _now() + timedelta(seconds=61)).conditions
                if condition.code == "readers.missing"
            )
            assert shown.severity == "warning"
            with socket.socket(socket.AF_UNIX) as reader:
                reader.connect(str(tmp_path / "c.sock"))
                reader.sendall(b'{"type":"HELLO","sessionId":"build"}\n')
                await _until(board, f"{before}1; not back: deaf (pid 2)")
            other.kill()
            await other.wait()
            await _until(board)


def _in_order(pids: dict[int, str]) -> str:
    return ", ".join(pids[pid] for pid in sorted(pids))


async def test_when_all_are_back_nobody_looks_any_more(tmp_path: Path) -> None:
    """The loop ends by itself, also if a session is gone."""
    board, sockets = empty_board(), CredentialSocket()
    with anyio.fail_after(HANG_SECONDS):
        await await_readers({}, sockets, board)
        await await_readers({"gone": {os.getpid(): "worker"}}, sockets, board)
    assert board.alarms == {}


async def test_a_reader_that_was_quicker_than_the_look_is_back(tmp_path: Path) -> None:
    """A reader may reconnect before the loop starts."""
    pids = {os.getpid(): "worker (pid 1)"}
    async with restarted(tmp_path, {}) as (sockets, board):
        with socket.socket(socket.AF_UNIX) as reader:
            reader.connect(str(tmp_path / "c.sock"))
            reader.sendall(b'{"type":"HELLO","sessionId":"build"}\n')
            await anyio.wait_readable(reader)
            await await_readers({"build": pids}, sockets, board)
    assert board.alarms == {}
