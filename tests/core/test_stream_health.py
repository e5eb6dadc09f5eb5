"""The line of a stream, from one state to the next."""

from datetime import UTC, datetime, timedelta

from rensei_daemon.core.health import StreamHealth, StreamState
from rensei_daemon.errors import Failure

AT = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def test_a_stream_that_was_live_is_interrupted() -> None:
    """One that never was is still connecting; `since` turns with live alone."""
    line = StreamHealth(state=StreamState.CONNECTING, since=AT)
    later = AT + timedelta(seconds=1)
    silent = line.with_state(StreamState.SILENT, later)
    assert (silent.state, silent.since, silent.was_live) == (StreamState.SILENT, AT, False)
    assert silent.with_end(later, 1.0).state is StreamState.CONNECTING
    live = silent.with_state(StreamState.LIVE, later)
    assert (live.since, live.was_live) == (later, True)
    ended = live.with_end(later, 9.0)
    assert (ended.state, ended.lived_seconds) == (StreamState.INTERRUPTED, 9.0)
    assert ended.ended_at == (later,)


def test_a_failure_is_kept_until_the_stream_opens() -> None:
    """The newest six ends are remembered, whatever happens between them."""
    line = StreamHealth(state=StreamState.CONNECTING, since=AT)
    failed = line.with_failure(Failure.BROKEN)
    assert failed.failure is Failure.BROKEN
    assert failed.with_state(StreamState.SILENT, AT).failure is None
    for second in range(8):
        line = line.with_end(AT + timedelta(seconds=second), 1.0)
    assert [at.second for at in line.ended_at] == [2, 3, 4, 5, 6, 7]
