"""The board: who may say what, and what it adds up to."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from rensei_daemon.core.board import Board, Line, report
from rensei_daemon.core.conditions import Code, Severity
from rensei_daemon.core.health import (
    ConfigHealth,
    HeartbeatHealth,
    LastMutation,
    LogHealth,
    MutationsHealth,
    PoolHealth,
    ProjectsHealth,
    SessionHealth,
    StreamState,
    WorkerHealth,
)
from rensei_daemon.core.hints import DaemonAddress
from rensei_daemon.core.status import DaemonState

START = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
CONFIG = ConfigHealth(path="/etc/rensei-daemon/config.toml", digest="abc123")
WORKER = WorkerHealth(platform_url="https://app.rensei.ai", worker_id="wkr_1")


def after(seconds: float) -> datetime:
    """Seconds after the start."""
    return START + timedelta(seconds=seconds)


def beaten(at: float) -> HeartbeatHealth:
    """A good beat then, one every 30 s."""
    return HeartbeatHealth(interval_seconds=30, last_ok_at=after(at))


def session(
    id: str = "build",
    *,
    stream: StreamState = StreamState.LIVE,
    since: float = 0,
    refreshed: float | None = 0,
    until: float | None = 900,
) -> SessionHealth:
    """A healthy board, except for the given records."""
    return SessionHealth(
        id=id,
        stream=stream,
        since=after(since),
        added_at=START,
        refreshed_at=None if refreshed is None else after(refreshed),
        refresh_until=None if until is None else after(until),
    )


def board_with(*lines: Line) -> Board:
    """A board that has just started, with these lines on it."""
    board = Board(
        version="0.1.0",
        pid=812,
        started_at=START,
        config=CONFIG,
        worker=WORKER,
        heartbeat=HeartbeatHealth(interval_seconds=30),
    )
    for line in lines:
        board.post(line)
    return board


def found(board: Board, now: float) -> list[tuple[str, str]]:
    """Code and severity of what is wrong then, information left out."""
    conditions = report(board, after(now)).conditions
    return [(c.code, c.severity) for c in conditions if c.severity is not Severity.INFO]


STALE, SESSION, STREAM = "heartbeat.stale", "session.stale", "stream.interrupted"


def test_hints_are_said_in_the_words_that_reach_this_daemon() -> None:
    """A file of its own is named, and systemctl only where a unit runs it."""
    board = board_with()
    board.address = DaemonAddress(config="/c.toml", systemctl=None, pid=812)
    hint = "systemctl restart rensei-daemon, or: rensei-daemon reload"
    board.raise_alarm(Code.STORAGE, "full", hint=hint, now=after(0))
    told = {c.code: c.hint for c in report(board, after(1)).conditions}
    assert told[Code.STORAGE] == (
        "end the daemon (kill 812), then: rensei-daemon run --config /c.toml, "
        "or: rensei-daemon reload --config /c.toml"
    )


@pytest.mark.parametrize(
    ("line", "now", "expected"),
    [
        (beaten(0), 89, []),
        (beaten(0), 90, [(STALE, "warning")]),
        (beaten(0), 91, [(STALE, "warning")]),
        (beaten(0), 299, [(STALE, "warning")]),
        (beaten(0), 301, [(STALE, "error")]),
        (beaten(50), -10, []),
        (HeartbeatHealth(interval_seconds=0.2, last_ok_at=START), 2, []),
        (HeartbeatHealth(interval_seconds=0.2, last_ok_at=START), 4, [(STALE, "warning")]),
        (HeartbeatHealth(interval_seconds=300, last_ok_at=START), 899, []),
        (HeartbeatHealth(interval_seconds=300, last_ok_at=START), 901, [(STALE, "error")]),
        (HeartbeatHealth(interval_seconds=300), 59, []),
        (HeartbeatHealth(interval_seconds=300), 61, [(STALE, "warning")]),
        (HeartbeatHealth(interval_seconds=0.2), 4, [(STALE, "warning")]),
        (HeartbeatHealth(interval_seconds=30), 301, [(STALE, "error")]),
    ],
)
def test_old_beats_are_told_at_their_limits(
    line: HeartbeatHealth, now: float, expected: list[tuple[str, str]]
) -> None:
    """A beat is stale after three intervals, at least 3 s, and gravely so after 5 min."""
    assert found(board_with(line), now) == expected


@pytest.mark.parametrize(
    ("line", "now", "expected"),
    [
        (session(until=900), 959, []),
        (session(until=900), 961, [(SESSION, "error")]),
        (session(until=900, refreshed=930), 961, []),
        (session(until=900, refreshed=930), 1019, []),
        (session(until=900, refreshed=930), 1021, [(SESSION, "error")]),
        (session(until=-500, refreshed=0), 89, []),
        (session(until=-500, refreshed=0), 91, [(SESSION, "error")]),
        (session(until=None), 959, []),
        (session(until=None), 961, [(SESSION, "error")]),
        (session(refreshed=None, until=None), 59, []),
        (session(refreshed=None, until=None), 61, [(SESSION, "error")]),
        (session(stream=StreamState.INTERRUPTED, since=10), 69, []),
        (session(stream=StreamState.INTERRUPTED, since=10), 71, [(STREAM, "warning")]),
        (session(stream=StreamState.CONNECTING), 59, []),
        (session(stream=StreamState.CONNECTING), 61, [(STREAM, "warning")]),
        (session(stream=StreamState.LIVE), 899, []),
        (
            session(stream=StreamState.INTERRUPTED),
            961,
            [(SESSION, "error"), (STREAM, "warning")],
        ),
    ],
)
def test_old_data_and_dead_streams_are_told_at_their_limits(
    line: SessionHealth, now: float, expected: list[tuple[str, str]]
) -> None:
    """Data are stale 60 s after a refresh was due, a stream 60 s after it broke."""
    assert found(board_with(beaten(now), line), now) == expected


def _told(line: SessionHealth, now: float) -> list[tuple[str, str, str]]:
    """Code, message and hint of what is wrong with a session then."""
    conditions = report(board_with(beaten(now), line), after(now)).conditions
    return [(c.code, c.message, c.hint) for c in conditions]


def test_a_stream_that_nothing_comes_over_is_told_of() -> None:
    """It is open, so what is wrong is on the way."""
    line = session(stream=StreamState.SILENT)
    assert _told(line, 59) == []
    assert _told(line, 60) == [
        (
            "stream.interrupted",
            "the rotate stream of session build is open, but nothing has come over it; "
            "rotations arrive by polling, later",
            "a proxy may hold answers back until they end: have it pass them on",
        )
    ]


def test_streams_that_keep_ending_are_told_of() -> None:
    """More than five within ten minutes, and how long the last one lived."""
    ends = tuple(after(20 * n) for n in range(6))
    line = replace(session(), stream_ended_at=ends, stream_lived_seconds=20.4)
    assert _told(line, 600) == [
        (
            "stream.flapping",
            "the rotate stream of session build keeps ending, the last one after 20 s",
            "a proxy or gateway may end long answers: raise its limit for "
            "/api/daemon/credentials/rotate-stream",
        )
    ]
    assert _told(line, 601) == []
    assert _told(replace(line, stream_ended_at=ends[1:]), 600) == []


def test_a_snapshot_that_is_wanted_and_not_had_is_told_of() -> None:
    """After a minute, and what it is wanted for."""
    line = replace(session(), wanted_for="there was noise", wanted_since=after(100))
    assert _told(line, 159) == []
    assert _told(line, 160) == [
        (
            "session.unconfirmed",
            "a snapshot of session build is wanted and does not come: there was noise",
            "rensei-daemon sync, then: rensei-daemon logs --session build",
        )
    ]
    never_had = replace(line, refreshed_at=None)
    assert [code for code, *_ in _told(never_had, 160)] == ["session.stale"]


def test_lost_names_are_told_of_at_once() -> None:
    """The condition says how many names, of how many."""
    line = replace(session(), names=("A",), lost_names=3, lost_names_at=after(100))
    assert _told(line, 100) == [
        (
            "session.unconfirmed",
            "the last snapshot of session build took 3 of 4 names away; "
            "none has confirmed it",
            "rensei-daemon sync, then: rensei-daemon logs --session build",
        )
    ]


def test_a_refresh_due_at_the_end_of_time_is_no_trouble() -> None:
    """The platform may name any time it likes without breaking the report."""
    last = datetime.max.replace(tzinfo=UTC)
    line = SessionHealth(
        id="build", since=START, added_at=START, refreshed_at=START, refresh_until=last
    )
    board = board_with(beaten(0), line)
    assert found(board, 10) == []


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (PoolHealth(), []),
        (PoolHealth(status="deleted", id="pool_a"), [("pool.deleted", "warning")]),
        (PoolHealth(status="draining"), [("pool.draining", "warning")]),
        (PoolHealth(status="a newer word"), [("pool.other", "warning")]),
        (
            ConfigHealth(path="/c.toml", digest="", valid=False, error="/c.toml:3:1: no"),
            [("config.invalid", "warning")],
        ),
    ],
)
def test_what_is_wrong_at_once_is_told_at_once(
    line: Line, expected: list[tuple[str, str]]
) -> None:
    """A deleted pool and a broken file are warnings immediately."""
    assert found(board_with(beaten(0), line), 1) == expected


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        (
            PoolHealth(status="deleted", candidates=("pool_b",)),
            "bind this host to one of: pool_b",
        ),
        (PoolHealth(status="deleted"), "bind it to another pool"),
        (PoolHealth(status="draining", action="wait for it"), "wait for it"),
    ],
)
def test_a_pool_says_what_to_do(line: PoolHealth, hint: str) -> None:
    """The platform's own advice comes first, then the pools it names."""
    assert report(board_with(beaten(0), line), START).conditions[0].hint == hint


@pytest.mark.parametrize(
    ("code", "seconds", "expected"),
    [
        (Code.STORAGE, 0, [("storage", "error")]),
        (Code.UNAUTHORIZED, 0, [("unauthorized", "error")]),
        (Code.FORBIDDEN, 0, [("forbidden", "warning")]),
        (Code.CONFIG_RESTART_NEEDED, 0, [("config.restart_needed", "warning")]),
        (Code.DELIVERY_FAILED, 0, [("delivery.failed", "warning")]),
        (Code.MUTATION_CONFLICT, 0, [("mutation.conflict", "warning")]),
        (Code.READERS_MISSING, 59, []),
        (Code.READERS_MISSING, 61, [("readers.missing", "warning")]),
        (Code.READERS_TURNED_AWAY, 0, [("readers.turned_away", "warning")]),
        (Code.METRICS_NOT_SERVED, 0, [("metrics.not_served", "warning")]),
        (Code.CONSUMER_LAGGING, 59, []),
        (Code.CONSUMER_LAGGING, 61, [("consumer.lagging", "warning")]),
        (Code.RUN_BY_ROOT, 61, []),
        (Code.RUNTIME_NOT_TMPFS, 61, []),
    ],
)
def test_an_alarm_shows_as_its_rule_says(
    code: Code, seconds: float, expected: list[tuple[str, str]]
) -> None:
    """Each alarm has its gravity, and the time it may last unseen."""
    board = board_with(beaten(0))
    board.raise_alarm(code, "it is so", hint="do this", now=START)
    assert found(board, seconds) == expected


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        (
            LogHealth(level="debug", since=START),
            "log.level",
            "the log level is debug until a restart; the configuration says info",
        ),
        (
            LogHealth(dropped=312, dropped_since=START),
            "log.dropped",
            "312 lines of the log were lost: nobody read it, or it could not be written",
        ),
    ],
)
def test_an_odd_log_is_a_note(line: LogHealth, code: str, said: str) -> None:
    """It is shown with what to do, and changes no state."""
    status = report(board_with(beaten(0), line), START)
    (condition,) = (c for c in status.conditions if c.code == code)
    assert (condition.severity, condition.message) == ("info", said)
    assert condition.hint
    assert status.state == "ok"


def test_readers_that_leave_a_daemon_that_stops_stay_on_record() -> None:
    """The next daemon says which of them have not come back."""
    board = board_with()
    line = SessionHealth(id="build", since=START, added_at=START)
    board.post(line)
    board.stop()
    board.post(replace(line, generation=7))
    assert board.sessions["build"] == line


def _stopping(board: Board) -> None:
    board.raise_alarm(Code.STORAGE, "disk full", hint="", now=START)
    board.stop()


STATES = [
    (lambda _: None, 0, DaemonState.STARTING),
    (lambda _: None, 59, DaemonState.STARTING),
    (lambda _: None, 61, DaemonState.DEGRADED),
    (lambda board: board.post(beaten(1)), 2, DaemonState.OK),
    (lambda board: board.post(PoolHealth(status="deleted")), 2, DaemonState.STARTING),
    (
        lambda board: board.raise_alarm(Code.UNAUTHORIZED, "no", hint="", now=START),
        2,
        DaemonState.FAILED,
    ),
    (_stopping, 2, DaemonState.STOPPING),
]


@pytest.mark.parametrize(("act", "now", "state"), STATES)
def test_the_state_is_the_gravest_truth(
    act: Callable[[Board], None], now: float, state: DaemonState
) -> None:
    """Stopping outweighs an error, an error outweighs starting, starting a warning."""
    board = board_with()
    act(board)
    assert report(board, after(now)).state is state


def test_the_daemon_starts_until_every_session_has_data() -> None:
    """A good beat is not enough while a session waits for its first snapshot."""
    waiting = session("two", refreshed=None, until=None)
    board = board_with(beaten(1), session("one"), waiting)
    states = [report(board, after(2)).state, report(board, after(59)).state]
    board.post(session("two", refreshed=3))
    states.append(report(board, after(4)).state)
    assert states == [DaemonState.STARTING, DaemonState.STARTING, DaemonState.OK]


def test_information_never_changes_the_state() -> None:
    """Being run by root, without tmpfs and without sessions, the daemon may be well."""
    board = board_with(beaten(0))
    board.raise_alarm(Code.RUN_BY_ROOT, "run by root", hint="", now=after(1))
    board.raise_alarm(Code.RUNTIME_NOT_TMPFS, "not tmpfs", hint="", now=after(2))
    status = report(board, after(3))
    assert status.state is DaemonState.OK
    assert [c.code for c in status.conditions] == [
        "sessions.none",
        "run_by_root",
        "runtime.not_tmpfs",
    ]


def test_conditions_come_gravest_first_then_oldest() -> None:
    """The first condition is the one to fix first."""
    board = board_with(beaten(10), session())
    board.raise_alarm(Code.MUTATION_CONFLICT, "c", hint="", now=after(9), subject="dmut_2")
    board.raise_alarm(
        Code.DELIVERY_FAILED, "d", hint="", now=after(5), subject="build:hook"
    )
    board.raise_alarm(Code.STORAGE, "s", hint="", now=after(9))
    conditions = report(board, after(10)).conditions
    assert [(c.code, c.subject) for c in conditions] == [
        ("storage", ""),
        ("delivery.failed", "build:hook"),
        ("mutation.conflict", "dmut_2"),
    ]


def test_an_alarm_raised_again_keeps_its_age_and_takes_the_new_words() -> None:
    """The age of a condition counts from when it was first posted."""
    board = board_with(beaten(0))
    board.raise_alarm(Code.STORAGE, "disk full", hint="free some", now=after(1))
    board.raise_alarm(Code.STORAGE, "read-only", hint="remount", now=after(9))
    condition = report(board, after(10)).conditions[0]
    assert (condition.message, condition.hint, condition.since) == (
        "read-only",
        "remount",
        after(1),
    )


def test_the_board_tells_of_each_change_once() -> None:
    """Saying the same again is no change; clearing what is not up neither."""
    told: list[str] = []
    board = board_with(beaten(0))
    board.on_change = lambda: told.append("changed")
    steps: list[Callable[[], None]] = [
        lambda: board.post(beaten(0)),
        lambda: board.post(beaten(1)),
        lambda: board.post(session()),
        lambda: board.post(session()),
        lambda: board.raise_alarm(Code.STORAGE, "full", hint="", now=START),
        lambda: board.raise_alarm(Code.STORAGE, "full", hint="", now=after(5)),
        lambda: board.clear(Code.STORAGE),
        lambda: board.clear(Code.STORAGE),
        lambda: board.drop_session("build"),
        lambda: board.drop_session("build"),
    ]
    counts = []
    for step in steps:
        step()
        counts.append(len(told))
    assert counts == [0, 1, 2, 2, 3, 3, 4, 4, 5, 5]


def test_a_dropped_session_takes_its_alarms_along() -> None:
    """A session that is not configured any more has no condition."""
    board = board_with(beaten(0), session("build"), session("built"))
    for subject in ("build", "build:hook", "built:hook"):
        board.raise_alarm(Code.DELIVERY_FAILED, "no", hint="", now=START, subject=subject)
    board.drop_session("build")
    status = report(board, START)
    assert [line.id for line in status.sessions] == ["built"]
    assert [c.subject for c in status.conditions] == ["built:hook"]


def test_every_line_has_its_place() -> None:
    """What is posted is what is reported, sessions in the order of their ids."""
    last = LastMutation(id="dmut_1", op="project.add", outcome="applied", at=START)
    mutations = MutationsHealth(applied=1, last=last)
    pool = PoolHealth(status="deleted", id="pool_a")
    board = board_with(
        CONFIG,
        WORKER,
        beaten(1),
        mutations,
        ProjectsHealth(enabled=2, disabled=1),
        pool,
        session("b"),
        session("a"),
    )
    status = report(board, after(7.9))
    assert status.uptime_seconds == 7
    assert (status.config, status.heartbeat, status.mutations) == (
        CONFIG,
        beaten(1),
        mutations,
    )
    assert (status.worker_id, status.platform_url) == ("wkr_1", "https://app.rensei.ai")
    assert (status.projects, status.pool) == (ProjectsHealth(enabled=2, disabled=1), pool)
    assert status.sessions == (session("a"), session("b"))


def test_a_clock_that_was_set_moves_what_is_shown() -> None:
    """Every time of a report, its conditions' too; but the journal's are the wall's own."""
    board = board_with(beaten(0), PoolHealth(status="deleted", since=START))
    last = LastMutation(id="m", op="project.add", outcome="applied", at=START)
    board.post(MutationsHealth(last=last))
    day = timedelta(days=1)
    status = report(board, after(5), day)
    assert status.reported_at == after(5) + day
    assert status.heartbeat.last_ok_at == after(0) + day
    assert {condition.since for condition in status.conditions} == {START + day}
    assert status.mutations.last == last
    assert status.uptime_seconds == 5
