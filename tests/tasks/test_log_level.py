"""The level that an operator asks for, and the file's."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from rensei_daemon.core.health import LogHealth
from rensei_daemon.errors import UsageError
from rensei_daemon.logs.formatting import render_json
from rensei_daemon.logs.outputs import JsonFileOutput, StreamOutput
from rensei_daemon.logs.rotating_file import RotatingFile
from rensei_daemon.logs.setup import LogControl, log_to
from rensei_daemon.logs.writer import Writer
from rensei_daemon.tasks.reload import reload

if TYPE_CHECKING:
    from tasks.conftest import Home, Running

LOOPS = ("heartbeat", "mutations", "sessions", "configuration")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the log goes."""
    return tmp_path / "log.jsonl"


@pytest.fixture
def control(path: Path) -> Iterator[LogControl]:
    """Log into a file, from info on."""
    with log_to([JsonFileOutput(RotatingFile(path))], level="info") as running:
        yield running


def changes(path: Path) -> list[tuple[Any, ...]]:
    """Return (was, to, uid, pid) of every change in the log."""
    events = [json.loads(line) for line in path.read_text().splitlines()]
    return [
        (e["was"], e["to"], e["uid"], e["pid"])
        for e in events
        if e["event"] == "log.level_changed"
    ]


async def test_a_level_that_is_asked_for(
    home: "Home", control: LogControl, path: Path
) -> None:
    """It is in force at once, on the board, and logged with who requested it."""
    log = structlog.get_logger()
    async with home.daemon(without=LOOPS, log=control) as daemon:
        level = daemon.log_level
        assert daemon.board.log == LogHealth()
        log.debug("a.hidden")
        level.request("debug", uid=1000, pid=7)
        log.debug("b.shown")
        line = daemon.board.log
        assert (line.level, line.configured_level) == ("debug", "info")
        assert line.since is not None
        level.request("config", uid=0, pid=8)
        log.debug("c.hidden")
        assert daemon.board.log == LogHealth()
    _close(control, path)
    assert changes(path) == [("info", "debug", 1000, 7), ("debug", "info", 0, 8)]
    assert _names(path, "a.hidden", "b.shown", "c.hidden") == ["b.shown"]


def _close(control: LogControl, path: Path) -> None:
    """Wait until what was logged so far is in the file."""
    structlog.get_logger().critical("test.ended")
    while "test.ended" not in (path.read_text() if path.exists() else ""):
        pass


def _names(path: Path, *names: str) -> list[str]:
    events = [json.loads(line)["event"] for line in path.read_text().splitlines()]
    return [event for event in events if event in names]


async def test_a_change_is_logged_at_every_level(
    home: "Home", control: LogControl, path: Path
) -> None:
    """Also from the quietest level to itself, who requested it is logged."""
    async with home.daemon(without=LOOPS, log=control) as daemon:
        level = daemon.log_level
        level.request("error", uid=0, pid=1)
        level.request("error", uid=0, pid=2)
        structlog.get_logger().info("a.hidden")
    _close(control, path)
    assert changes(path) == [("info", "error", 0, 1), ("error", "error", 0, 2)]
    assert _names(path, "a.hidden") == []


async def test_what_is_no_level(home: "Home", control: LogControl) -> None:
    """The error names the levels there are, and nothing changes."""
    async with home.daemon(without=LOOPS, log=control) as daemon:
        level = daemon.log_level
        for wanted in ("loud", "critical", None, 10, ["debug"]):
            with pytest.raises(UsageError, match="is no log level") as caught:
                level.request(wanted, uid=0, pid=1)
            assert caught.value.hint == "debug, info, warning, error or config"
        assert control.level == "info"


async def _reloaded(home: "Home", daemon: "Running", text: str) -> None:
    home.write(text)
    await reload(daemon.configuration, daemon.board)


async def test_the_file_is_the_newer_word(
    home: "Home", control: LogControl, path: Path
) -> None:
    """A reload that changes the level takes over; another reload does not."""
    async with home.daemon(without=LOOPS, log=control) as daemon:
        level = daemon.log_level
        level.request("debug", uid=0, pid=1)
        await _reloaded(home, daemon, "\n[heartbeat]\ninterval_seconds = 20\n")
        assert control.level == "debug"
        await _reloaded(home, daemon, '\n[log]\nlevel = "error"\n')
        assert control.level == "error"
        assert daemon.board.log == LogHealth(level="error", configured_level="error")
    _close(control, path)
    assert changes(path)[1:] == [("debug", "error", None, None)]


async def test_what_was_lost_is_on_the_board(home: "Home") -> None:
    """Lines lost in another thread are counted in the next report."""
    full = os.open("/dev/full", os.O_WRONLY)
    writer = Writer([StreamOutput(full, render_json)])
    async with home.daemon(without=LOOPS, log=LogControl("info", writer)) as daemon:
        level = daemon.log_level
        assert daemon.board.log.dropped == 0
        writer.start()
        writer.put({"event": "a.lost"})
        writer.close()
        level.post()
        assert daemon.board.log.dropped == 1
        assert daemon.board.log.dropped_since is not None
    os.close(full)
