"""The screen of `status`, whole, for each state."""

import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from rensei_daemon.cli.status_screen import render
from rensei_daemon.core.board import Board, report
from rensei_daemon.core.conditions import Code
from rensei_daemon.core.health import (
    ConfigHealth,
    ConsumerHealth,
    HeartbeatHealth,
    LastMutation,
    MutationsHealth,
    PoolHealth,
    ProjectsHealth,
    SessionHealth,
    StreamState,
    WorkerHealth,
)
from rensei_daemon.core.status import to_json
from rensei_daemon.errors import Failure

GOLDEN = Path(__file__).parent / "golden"
NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)


def ago(**span: float) -> datetime:
    """So long before now."""
    return NOW - timedelta(**span)


def starting() -> Board:
    """A daemon that has just come up."""
    board = Board(
        version="0.1.0",
        pid=812,
        started_at=ago(seconds=2),
        config=ConfigHealth(path="/etc/rensei-daemon/config.toml", digest="3fa9"),
        worker=WorkerHealth(platform_url="https://app.rensei.ai"),
        heartbeat=HeartbeatHealth(interval_seconds=30),
    )
    started = ago(seconds=1)
    board.post(SessionHealth(id="build", since=started, added_at=started))
    return board


def well() -> Board:
    """A daemon three days old that has nothing to complain of."""
    board = starting()
    board.started_at = ago(days=3, hours=4)
    board.post(WorkerHealth(platform_url="https://app.rensei.ai", worker_id="wkr_123"))
    board.post(HeartbeatHealth(interval_seconds=30, last_ok_at=ago(seconds=4)))
    board.post(ProjectsHealth(enabled=3, disabled=1))
    last = LastMutation(
        id="dmut_12", op="project.add", outcome="applied", at=ago(minutes=3)
    )
    board.post(MutationsHealth(applied=12, failed=1, last=last))
    board.post(
        SessionHealth(
            id="build",
            stream=StreamState.LIVE,
            since=ago(hours=3, minutes=20),
            added_at=board.started_at,
            generation=7,
            refreshed_at=ago(seconds=40),
            refresh_until=NOW + timedelta(minutes=14),
            names=("GITHUB_TOKEN", "NPM_TOKEN", "PYPI_TOKEN"),
            consumers=(
                ConsumerHealth(kind="env_file", name="/run/b.env", generation=7),
                ConsumerHealth(kind="socket", name="pid 900", generation=7),
            ),
        )
    )
    return board


def degraded() -> Board:
    """One whose platform is away and whose pool is gone."""
    board = well()
    board.post(
        HeartbeatHealth(
            interval_seconds=30,
            last_ok_at=ago(minutes=3),
            consecutive_failures=5,
            last_error="cannot reach app.rensei.ai: connection refused\x1b[2J",
        )
    )
    board.post(
        PoolHealth(
            status="deleted",
            id="pool_a",
            reason="merged into the larger one",
            candidates=("pool_b", "pool_c"),
            since=ago(minutes=2),
        )
    )
    board.post(
        SessionHealth(
            id="nightly-release-of-the-whole-of-the-monorepo",
            stream=StreamState.INTERRUPTED,
            since=ago(minutes=2),
            added_at=board.started_at,
            generation=2,
            refreshed_at=ago(minutes=8),
            refresh_until=ago(seconds=30),
            names=("KEY",),
            dropped_names=("LD_PRELOAD", "PATH"),
            consumers=(ConsumerHealth(kind="socket", name="pid 901", generation=1),),
        )
    )
    return board


def failed() -> Board:
    """One that may not write its own files and has lost its file's sense."""
    board = well()
    board.raise_alarm(
        Code.STORAGE,
        "cannot write /etc/rensei-daemon/config.toml: No space left on device",
        hint="free some space on /etc; the mutations wait, nothing is lost",
        now=ago(minutes=1, seconds=5),
    )
    board.post(
        ConfigHealth(
            path="/etc/rensei-daemon/config.toml",
            digest="3fa9",
            valid=False,
            error="/etc/rensei-daemon/config.toml:12:3: unknown key 'regin', "
            "the nearest is 'region'",
            since=ago(seconds=20),
        )
    )
    return board


def unreachable() -> Board:
    """A daemon that cannot reach the platform, with old data in one session."""
    board = well()
    gone = Failure.UNREACHABLE
    board.post(
        HeartbeatHealth(
            interval_seconds=30,
            last_ok_at=ago(minutes=4),
            consecutive_failures=7,
            last_error="app.rensei.ai: it refused the connection",
            last_failure=gone,
        )
    )
    for id in ("build", "nightly"):
        board.post(
            SessionHealth(
                id=id,
                stream=StreamState.INTERRUPTED,
                since=ago(minutes=4),
                added_at=board.started_at,
                generation=2,
                refreshed_at=ago(minutes=18) if id == "build" else ago(minutes=2),
                snapshot_failure=gone,
                stream_failure=gone,
            )
        )
    return board


def stopping() -> Board:
    """One on its way out."""
    board = well()
    board.stop()
    return board


def without_sessions() -> Board:
    """One that is well and says what it lacks."""
    board = well()
    board.drop_session("build")
    board.raise_alarm(
        Code.RUN_BY_ROOT,
        "the daemon is run by root",
        hint="give it a user: rensei-daemon install",
        now=board.started_at,
    )
    return board


def pool_deleted() -> Board:
    """One whose pool is gone, and nothing else."""
    board = well()
    board.post(
        PoolHealth(
            status="deleted",
            id="pool_a",
            reason="merged into the larger one",
            candidates=("pool_b", "pool_c"),
            since=ago(minutes=2),
        )
    )
    return board


def with_several_sessions() -> Board:
    """One with a session in each state a stream can be in."""
    board = well()
    for number, stream in enumerate(StreamState, start=1):
        board.post(
            SessionHealth(
                id=f"worker-{number}",
                stream=stream,
                since=ago(seconds=30),
                added_at=board.started_at,
                generation=number,
                refreshed_at=ago(seconds=30 * number),
                refresh_until=NOW + timedelta(minutes=number),
                names=("TOKEN",) * number,
            )
        )
    return board


COMPUTED = {
    Code.HEARTBEAT_STALE, Code.SESSION_STALE, Code.SESSION_UNCONFIRMED,
    Code.STREAM_FLAPPING, Code.STREAM_INTERRUPTED, Code.CONFIG_INVALID, Code.SESSIONS_NONE,
    Code.LOG_LEVEL, Code.LOG_DROPPED, Code.PROGRAM_OUTDATED,
    *(code for code in Code if code.startswith("pool.")),
}  # fmt: skip
"""What no task raises: it follows from the health of a part, or from the program's age."""


def with_many_conditions() -> Board:
    """One to which everything has happened that a task can report by itself."""
    board = degraded()
    for code in set(Code) - COMPUTED:
        message = f"what {code} has to say, at the length that such messages have"
        hint = "see why: rensei-daemon logs --level warning"
        board.raise_alarm(code, message, hint=hint, now=ago(minutes=7))
    return board


SCREENS = {
    "starting": starting,
    "ok": well,
    "degraded": degraded,
    "failed": failed,
    "failed-for-one-cause": unreachable,
    "stopping": stopping,
    "ok-without-sessions": without_sessions,
    "ok-several-sessions": with_several_sessions,
    "degraded-pool-deleted": pool_deleted,
    "failed-many-conditions": with_many_conditions,
}
WIDTHS = {80: "", 200: "-200"}
"""Columns, and how the golden files of that width are called."""


def agrees(drawn: str, name: str, width: int) -> bool:
    """Compare with a golden screen; GOLDEN=write makes today's the golden one."""
    golden = GOLDEN / f"status-{name}{WIDTHS[width]}.txt"
    if os.environ.get("GOLDEN") == "write":
        golden.write_text(drawn)
    return drawn == golden.read_text()


def screen(board: Board, **options: Any) -> str:
    """Draw it as the command does, 80 columns wide, at a fixed time."""
    options = {"width": 80, "colour": False, "now": NOW, **options}
    return render(to_json(report(board, NOW)), **options)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", SCREENS)
def test_each_state_has_its_screen(name: str, width: int) -> None:
    """What an operator sees is pinned to the character, and no line is too wide."""
    drawn = screen(SCREENS[name](), width=width)
    assert agrees(drawn, name, width)
    assert max(len(line) for line in drawn.splitlines()) <= width


@pytest.mark.parametrize("width", WIDTHS)
def test_a_daemon_that_is_gone_never_looks_well(width: int) -> None:
    """The last state is shown as the past it is."""
    later = NOW + timedelta(minutes=12)
    drawn = screen(well(), now=later, alive=False, width=width)
    assert agrees(drawn, "not-running", width)


@pytest.mark.parametrize("name", SCREENS)
def test_a_narrow_screen_loses_no_word(name: str) -> None:
    """At 40 columns only a heading or a long word is wider, and no word is missing."""
    drawn = screen(SCREENS[name](), width=40)
    heads = re.compile(r"[A-Z●◌▲✖○ ]+ .*|(\w+  +| +(→ )?)\S+")
    too_wide = [line for line in drawn.splitlines() if len(line) > 40]
    assert [line for line in too_wide if not heads.fullmatch(line)] == []
    wide = screen(SCREENS[name](), width=200)
    for word in ("monorepo", "dmut_12", "pool_c", "app.rensei.ai", "PATH"):
        assert (word in drawn) == (word in wide)


def test_colour_marks_the_state_and_changes_no_word() -> None:
    """Without the escapes the coloured screen is the plain one."""
    drawn = screen(degraded(), colour=True)
    assert drawn.startswith("\x1b[1;30;43m ▲ DEGRADED \x1b[0m for 3 min  rensei-daemon")
    assert "\x1b[1mWARNING  heartbeat.stale, for 3 min\x1b[0m" in drawn


def test_a_status_of_another_version_is_shown_as_far_as_it_goes() -> None:
    """A file from an older daemon, or a newer one, is no reason to fail."""
    drawn = render({"state": "resting"}, width=80, colour=False, now=NOW)
    assert drawn == (
        "? RESTING  rensei-daemon ?, up 0 s, pid ?\n\nplatform    ?, not registered yet\n"
    )


def test_what_names_a_cause_that_is_not_there_is_shown_itself() -> None:
    """Nothing disappears from the screen because another version left something out."""
    lone = {
        "code": "session.stale",
        "severity": "error",
        "message": "old",
        "since": "2026-11-24T11:00:00Z",
        "because_of": {"code": "gone", "subject": ""},
    }
    drawn = render(
        {"state": "failed", "conditions": [lone]}, width=80, colour=False, now=NOW
    )
    assert "ERROR  session.stale, for 1 h\n  old\n" in drawn
