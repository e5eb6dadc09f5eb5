"""The clock that is never set, and times that are shown by the wall clock."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from rensei_daemon.clock import Clock
from rensei_daemon.core.board import Board, report
from rensei_daemon.core.health import (
    ConfigHealth,
    HeartbeatHealth,
    LastMutation,
    MutationsHealth,
    SessionHealth,
    StreamState,
    WorkerHealth,
)
from rensei_daemon.core.status import Status

START = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DECADES = START - EPOCH


@dataclass
class Machine:
    """A machine whose clocks are advanced by the test."""

    wall: datetime = START
    boot: float = 100.0
    clock: Clock = field(init=False)

    def __post_init__(self) -> None:
        self.clock = Clock(boot=lambda: self.boot, wall=lambda: self.wall)

    def wait(self, seconds: float) -> None:
        """Let time pass, by both clocks."""
        self.boot += seconds
        self.wall += timedelta(seconds=seconds)


def _well(machine: Machine) -> Board:
    """Post a heartbeat and data of this moment."""
    now = machine.clock.now()
    board = Board(
        version="1",
        pid=1,
        started_at=now,
        config=ConfigHealth(path="/c", digest="d"),
        worker=WorkerHealth(platform_url="http://127.0.0.1"),
        heartbeat=HeartbeatHealth(interval_seconds=30, last_ok_at=now),
    )
    board.post(
        SessionHealth(
            id="build",
            stream=StreamState.LIVE,
            since=now,
            added_at=now,
            refreshed_at=now,
            refresh_until=now + timedelta(minutes=30),
        )
    )
    board.post(
        MutationsHealth(
            last=LastMutation(id="m", op="project.add", outcome="applied", at=START)
        )
    )
    return board


def _codes(status: Status) -> list[str]:
    return [condition.code for condition in status.conditions]


@pytest.mark.parametrize(
    ("begun", "step"),
    [
        (START, timedelta(hours=2)),
        (START, timedelta(hours=-2)),
        (EPOCH, DECADES),
        (START, -DECADES),
    ],
    ids=["two hours on", "two hours back", "a boot in 1970", "back to 1970"],
)
def test_a_step_of_the_clock_makes_nothing_old_and_nothing_new(
    begun: datetime, step: timedelta
) -> None:
    """When the wall clock is set, data stay fresh until their true time has passed."""
    machine = Machine(wall=begun)
    board, look = _well(machine), partial(report)
    machine.wall += step
    assert _codes(look(board, *machine.clock.read())) == []
    machine.wait(89)
    assert _codes(look(board, *machine.clock.read())) == []
    machine.wait(2)
    assert _codes(look(board, *machine.clock.read())) == ["heartbeat.stale"]
    machine.wait(1800)
    found = look(board, *machine.clock.read())
    assert set(_codes(found)) == {"heartbeat.stale", "session.stale"}
    assert found.uptime_seconds == 1891


def test_what_is_shown_is_by_the_wall_clock_of_now() -> None:
    """Times of a boot in 1970 are shown correctly once the clock has been set."""
    machine = Machine(wall=EPOCH)
    board = _well(machine)
    machine.wait(100)
    machine.wall += DECADES
    status = report(board, *machine.clock.read())
    assert status.reported_at == START + timedelta(seconds=100)
    assert status.heartbeat.last_ok_at == START
    (session,) = status.sessions
    assert (session.since, session.refresh_until) == (START, START + timedelta(minutes=30))
    assert [condition.since for condition in status.conditions] == [START]
    # The journal's times are the wall clock's of their day already.
    assert status.mutations.last is not None
    assert status.mutations.last.at == START


def test_suspended_time_counts() -> None:
    """Data that were fresh before a suspension are stale after it."""
    machine = Machine()
    board = _well(machine)
    machine.wait(8 * 3600)
    assert set(_codes(report(board, *machine.clock.read()))) == {
        "heartbeat.stale",
        "session.stale",
    }


def test_a_clock_that_is_slewed_moves_no_time() -> None:
    """A difference of less than a second is not shown, so that reports stay equal."""
    machine = Machine()
    machine.wall += timedelta(milliseconds=900)
    assert machine.clock.read() == (START, timedelta(0))
    machine.wall += timedelta(milliseconds=200)
    assert machine.clock.ahead() == timedelta(seconds=1)


def test_a_time_of_the_wall_can_be_compared() -> None:
    """A wall time from a file is converted to the clock for ages."""
    machine = Machine()
    machine.wall += timedelta(hours=2)
    assert machine.clock.steady(START + timedelta(hours=2)) == START


def test_the_kernels_clock_counts_a_suspended_machine() -> None:
    """The real clock starts at the wall time and advances."""
    before, clock = datetime.now(UTC), Clock()
    first, second = clock.now(), clock.now()
    assert before <= first < second
    assert clock.ahead() == timedelta(0)
