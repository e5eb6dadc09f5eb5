"""What follows from what, and what only happens at the same time."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rensei_daemon.core.board import Board, report
from rensei_daemon.core.conditions import Code, Severity
from rensei_daemon.core.health import (
    ConfigHealth,
    HeartbeatHealth,
    SessionHealth,
    StreamState,
    WorkerHealth,
)
from rensei_daemon.core.status import DaemonState, Status
from rensei_daemon.errors import Failure

START = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
NOW = START + timedelta(hours=2)

Found = list[tuple[str, str, str | None]]


def board(beats: Failure | None = None, *, is_stale: bool = True) -> Board:
    """A host whose beats fail like this, for two hours."""
    return Board(
        version="0.1.0",
        pid=812,
        started_at=START,
        config=ConfigHealth(path="/c.toml", digest=""),
        worker=WorkerHealth(platform_url="https://app.rensei.ai"),
        heartbeat=HeartbeatHealth(
            interval_seconds=30,
            last_ok_at=START if is_stale else NOW,
            last_error=beats and "no",
            last_failure=beats,
        ),
    )


def ailing(
    id: str = "build",
    *,
    snapshot: Failure | None = None,
    stream: Failure | None = None,
) -> SessionHealth:
    """A session without stream, and without fresh data where snapshots fail."""
    return SessionHealth(
        id=id,
        stream=StreamState.INTERRUPTED,
        since=START,
        added_at=START,
        refreshed_at=NOW if snapshot is None else START,
        snapshot_failure=snapshot,
        stream_failure=stream,
    )


def refuse(on: Board, code: Code, lane: str, words: str = "the key is bad") -> None:
    """Raise an alarm with the message of the task that raises it."""
    session = lane.rpartition(":")[0]
    message = f"session {session}: {words}" if session else words
    on.raise_alarm(code, message, hint="", now=START, subject=lane)


def found(on: Board) -> Found:
    """Code, subject, and the subject and code of the cause, of everything in order."""
    return [
        (
            c.code,
            c.subject,
            f"{c.because_of.code} {c.because_of.subject}" if c.because_of else None,
        )
        for c in report(on, NOW).conditions
        if c.severity is not Severity.INFO
    ]


@pytest.mark.parametrize("code", [Code.UNAUTHORIZED, Code.FORBIDDEN, Code.STORAGE])
def test_beats_that_are_refused_explain_their_silence(code: Code) -> None:
    """Whatever stops the beats has an alarm; their age follows from it."""
    on = board(Failure(code))
    refuse(on, code, "heartbeat")
    assert found(on) == [
        (code, "heartbeat", None),
        ("heartbeat.stale", "", f"{code} heartbeat"),
    ]


def test_a_lane_explains_its_own_silence_only() -> None:
    """A refused snapshot makes data old; the stream beside it has its own reasons."""
    on = board(is_stale=False)
    on.post(ailing(snapshot=Failure.FORBIDDEN, stream=Failure.BROKEN))
    refuse(on, Code.FORBIDDEN, "build:snapshot")
    assert found(on) == [
        ("forbidden", "build:snapshot", None),
        ("session.stale", "build", "forbidden build:snapshot"),
        ("stream.interrupted", "build", None),
    ]


@pytest.mark.parametrize("code", [Code.UNAUTHORIZED, Code.FORBIDDEN, Code.TOO_LARGE])
def test_a_snapshot_that_is_refused_explains_what_is_wanted(code: Code) -> None:
    """The reason why no snapshot arrives is reported once."""
    on = board(is_stale=False)
    line = replace(
        ailing(snapshot=Failure(code)), refreshed_at=NOW, stream=StreamState.LIVE
    )
    on.post(replace(line, wanted_for="x", wanted_since=START))
    refuse(on, code, "build:snapshot")
    assert found(on) == [
        (code, "build:snapshot", None),
        ("session.unconfirmed", "build", f"{code} build:snapshot"),
    ]


def test_an_alarm_of_yesterday_explains_nothing_today() -> None:
    """Only the last failure counts: it was refused once, and cannot connect now."""
    on = board(Failure.UNREACHABLE)
    refuse(on, Code.UNAUTHORIZED, "heartbeat")
    assert found(on) == [("heartbeat.stale", "", None), ("unauthorized", "heartbeat", None)]


def test_a_clock_that_is_off_explains_certificates_that_are_not_valid_by_it() -> None:
    """Beats, snapshots and streams follow from it; without it, from the beats."""
    dates = Failure.CERTIFICATE_DATES
    on = board(dates)
    on.post(ailing(snapshot=dates, stream=dates))
    stale = "heartbeat.stale "
    assert found(on) == [
        ("heartbeat.stale", "", None),
        ("session.stale", "build", stale),
        ("stream.interrupted", "build", stale),
    ]
    on.raise_alarm(Code.CLOCK_SKEWED, "two hours ahead", hint="", now=NOW)
    skewed = "clock.skewed "
    assert found(on) == [
        ("clock.skewed", "", None),
        ("heartbeat.stale", "", skewed),
        ("session.stale", "build", skewed),
        ("stream.interrupted", "build", skewed),
    ]


def test_a_clock_that_is_off_does_not_explain_a_platform_that_is_gone() -> None:
    """Evidence counts, and not what happens at the same time."""
    on = board(Failure.UNREACHABLE)
    on.raise_alarm(Code.CLOCK_SKEWED, "two hours ahead", hint="", now=NOW)
    assert ("heartbeat.stale", "", None) in found(on)


def test_no_way_to_the_platform_is_told_once() -> None:
    """Beats, snapshots and streams that find no connection have one cause."""
    on = board(Failure.UNREACHABLE)
    gone = Failure.UNREACHABLE
    on.post(ailing("build", snapshot=gone, stream=gone))
    on.post(ailing("nightly", stream=gone))
    stale = "heartbeat.stale "
    assert found(on) == [
        ("heartbeat.stale", "", None),
        ("session.stale", "build", stale),
        ("stream.interrupted", "build", stale),
        ("stream.interrupted", "nightly", stale),
    ]


@pytest.mark.parametrize(
    ("beats", "stream"),
    [
        (Failure.UNAVAILABLE, Failure.UNREACHABLE),
        (Failure.UNREACHABLE, Failure.BROKEN),
        (Failure.UNAVAILABLE, Failure.UNAVAILABLE),
        (Failure.TIMEOUT, Failure.TIMEOUT),
        (None, Failure.UNREACHABLE),
        (Failure.UNREACHABLE, None),
    ],
)
def test_what_only_happens_at_once_stays_side_by_side(
    beats: Failure | None, stream: Failure | None
) -> None:
    """A stream cut off by a proxy is not explained by beats that fail some other way."""
    on = board(beats)
    on.post(ailing(stream=stream))
    stale, lost = ("heartbeat.stale", "", None), ("stream.interrupted", "build", None)
    assert found(on) == [stale, lost]


def test_a_cause_must_be_there_itself() -> None:
    """While the beats still count as fresh, a lost stream speaks for itself."""
    on = board(Failure.UNREACHABLE, is_stale=False)
    on.post(ailing(stream=Failure.UNREACHABLE))
    assert found(on) == [("stream.interrupted", "build", None)]


def test_one_refused_key_is_told_once() -> None:
    """All requests use this host's one API key: the first one refused is reported."""
    on = board(Failure.UNAUTHORIZED)
    refuse(on, Code.UNAUTHORIZED, "heartbeat")
    for id in ("build", "nightly"):
        on.post(ailing(id, snapshot=Failure.UNAUTHORIZED, stream=Failure.UNAUTHORIZED))
        refuse(on, Code.UNAUTHORIZED, f"{id}:snapshot")
        refuse(on, Code.UNAUTHORIZED, f"{id}:stream")
    refuse(on, Code.UNAUTHORIZED, "build:stream", "a redirect to a login page")
    told = found(on)
    key = "unauthorized build:snapshot"
    assert [row for row in told if row[2] is None] == [
        ("unauthorized", "build:snapshot", None),
        ("unauthorized", "build:stream", None),
    ]
    assert [row for row in told if row[2] == "unauthorized build:stream"] == [
        ("stream.interrupted", "build", "unauthorized build:stream")
    ]
    assert {row[0] for row in told if row[2] == key} == {
        "unauthorized",
        "heartbeat.stale",
        "session.stale",
        "stream.interrupted",
    }


def test_a_refused_certificate_is_told_once() -> None:
    """All requests use this host's one certificate: the heartbeats report it for all."""
    on = board(Failure.TLS_REFUSED)
    refuse(on, Code.TLS_REFUSED, "heartbeat")
    on.post(ailing(snapshot=Failure.TLS_REFUSED, stream=Failure.TLS_REFUSED))
    root = "tls.refused heartbeat"
    assert found(on) == [
        ("tls.refused", "heartbeat", None),
        ("heartbeat.stale", "", root),
        ("session.stale", "build", root),
        ("stream.interrupted", "build", root),
    ]


def test_each_session_that_is_forbidden_is_told() -> None:
    """A 403 is about one session: the same message for another is another project's."""
    on = board(is_stale=False)
    for id in ("build", "nightly"):
        on.post(ailing(id, snapshot=Failure.FORBIDDEN))
        refuse(on, Code.FORBIDDEN, f"{id}:snapshot")
    roots = [row[:2] for row in found(on) if row[0] == "forbidden"]
    assert roots == [("forbidden", "build:snapshot"), ("forbidden", "nightly:snapshot")]
    assert {row[2] for row in found(on) if row[0] == "session.stale"} == {
        "forbidden build:snapshot",
        "forbidden nightly:snapshot",
    }


def test_a_cause_is_as_grave_as_what_follows_from_it() -> None:
    """Old data is an error also when it follows from a warning, and both come first."""
    on = board(is_stale=False)
    on.post(ailing(snapshot=Failure.FORBIDDEN))
    refuse(on, Code.FORBIDDEN, "build:snapshot")
    on.raise_alarm(Code.MUTATION_CONFLICT, "m", hint="", now=START - timedelta(days=1))
    status = report(on, NOW)
    assert status.state is DaemonState.FAILED
    assert [(c.code, c.severity) for c in status.conditions] == [
        ("forbidden", "warning"),
        ("session.stale", "error"),
        ("mutation.conflict", "warning"),
        ("stream.interrupted", "warning"),
    ]


failures = st.sampled_from([None, *Failure])
alarms = st.sets(
    st.tuples(
        st.sampled_from(["heartbeat", "a:snapshot", "a:stream", "b:snapshot", "b:stream"]),
        st.sampled_from([Code.UNAUTHORIZED, Code.FORBIDDEN, Code.STORAGE]),
        st.sampled_from(["no", "never"]),
    )
)


def _said(status: Status) -> set[tuple[str, str]]:
    """Return the messages, except the heartbeats' own."""
    told = {(c.code, c.message) for c in status.conditions}
    return {(code, words) for code, words in told if code != "heartbeat.stale"}


@given(beats=failures, lanes=st.tuples(*[failures] * 4), raised=alarms)
def test_nothing_is_lost_and_nothing_is_made_better(
    beats: Failure | None, lanes: Any, raised: set[tuple[str, Code, str]]
) -> None:
    """With or without causes, the state is the same, and every cause is listed."""
    on = board(beats)
    on.post(ailing("a", snapshot=lanes[0], stream=lanes[1]))
    on.post(ailing("b", snapshot=lanes[2], stream=lanes[3]))
    plain = board()
    for id in ("a", "b"):
        bare = replace(on.sessions[id], snapshot_failure=None, stream_failure=None)
        plain.post(bare)
    for lane, code, words in raised:
        for each in (on, plain):
            refuse(each, code, lane, words)
    linked, unlinked = report(on, NOW), report(plain, NOW)
    assert linked.state == unlinked.state
    assert _said(linked) == _said(unlinked)
    roots = {(c.code, c.subject) for c in linked.conditions if c.because_of is None}
    for condition in linked.conditions:
        if condition.because_of is not None:
            assert (condition.because_of.code, condition.because_of.subject) in roots
