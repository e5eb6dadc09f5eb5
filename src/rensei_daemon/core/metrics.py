"""Every metric, as a table of name, kind, help and samples.

Names follow Prometheus' rules: base units, `_total` for counters, times as seconds since
the epoch, from which the reader computes ages. A label's values are the configured
sessions or words of this code, never text from elsewhere.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from rensei_daemon.core.counters import Counters, EventCounter
from rensei_daemon.core.health import SessionHealth, StreamState
from rensei_daemon.core.prometheus import (
    Kind,
    Metric,
    Sample,
    buckets,
    one,
    one_of,
    seconds_since_epoch,
)
from rensei_daemon.core.status import DaemonState, Status
from rensei_daemon.fast_dataclass import dataclass


@dataclass(frozen=True, slots=True)
class _Now:
    """The values that samples are computed from."""

    status: Status
    counters: Counters


_Samples = Callable[[_Now], Iterable[Sample]]


def metrics(status: Status, counters: Counters) -> list[Metric]:
    """Return every metric, in the table's order."""
    now = _Now(status, counters)
    return [
        Metric(name, kind, help, tuple(samples(now)))
        for name, kind, help, samples in _TABLE
    ]


def _value(value: Callable[[_Now], float | None]) -> _Samples:
    """Return one sample; none if the value is unknown."""
    return lambda now: one(value(now))


def _time(time: Callable[[_Now], datetime | None]) -> _Samples:
    return _value(lambda now: seconds_since_epoch(time(now)))


def _words(label: str, values: Callable[[_Now], dict[str, float]]) -> _Samples:
    """Return one sample per value of the label."""
    return lambda now: (Sample(n, {label: word}) for word, n in values(now).items())


def _session(value: Callable[[SessionHealth], float | None]) -> _Samples:
    """Return one sample per session whose value is known."""
    return lambda now: (
        sample
        for session in now.status.sessions
        for sample in one(value(session), session=session.id)
    )


def _events(counter: Callable[[Counters], EventCounter], *labels: str) -> _Samples:
    """Return how often each kind of event happened, without removed sessions."""

    def samples(now: _Now) -> Iterator[Sample]:
        present = {session.id for session in now.status.sessions}
        for words, count in counter(now.counters):
            if labels[0] != "session" or words[0] in present:
                yield Sample(count, dict(zip(labels, words, strict=True)))

    return samples


def _conditions(now: _Now) -> Iterator[Sample]:
    counted = Counter((c.code, c.severity) for c in now.status.conditions)
    for (code, severity), count in sorted(counted.items()):
        yield Sample(count, {"code": code, "severity": severity})


def _stream_states(now: _Now) -> Iterator[Sample]:
    for session in now.status.sessions:
        yield from one_of(StreamState, session.stream, "state", session=session.id)


def _delivery_times(now: _Now) -> Iterator[Sample]:
    for kind, durations in sorted(now.counters.sessions.durations.items()):
        yield from buckets(durations, kind=kind)


def _behind(session: SessionHealth) -> int:
    return sum(c.generation != session.generation for c in session.consumers)


# fmt: off
_TABLE: tuple[tuple[str, Kind, str, _Samples], ...] = (
    ("rensei_daemon_build_info", Kind.GAUGE,
     "Which version runs; always 1.",
     lambda now: one(1, version=now.status.version)),
    ("rensei_daemon_state", Kind.GAUGE,
     "1 for the state the daemon is in, 0 for the others.",
     lambda now: one_of(DaemonState, now.status.state, "state")),
    ("rensei_daemon_conditions", Kind.GAUGE,
     "How many conditions of this code and severity there are.",
     _conditions),
    ("rensei_daemon_config_valid", Kind.GAUGE,
     "1 when the configuration file can be used, 0 while an older text is in force.",
     _value(lambda now: int(now.status.config.valid))),
    ("rensei_daemon_projects", Kind.GAUGE,
     "How many projects the configuration lists.",
     _words("state", lambda now: {"enabled": now.status.projects.enabled,
                                  "disabled": now.status.projects.disabled})),
    ("rensei_daemon_heartbeat_last_success_timestamp_seconds", Kind.GAUGE,
     "When the last good beat was answered.",
     _time(lambda now: now.status.heartbeat.last_ok_at)),
    ("rensei_daemon_heartbeat_interval_seconds", Kind.GAUGE,
     "How often a beat is sent.",
     _value(lambda now: now.status.heartbeat.interval_seconds)),
    ("rensei_daemon_heartbeat_consecutive_failures", Kind.GAUGE,
     "How many beats have failed since the last good one.",
     _value(lambda now: now.status.heartbeat.consecutive_failures)),
    ("rensei_daemon_heartbeats_total", Kind.COUNTER,
     "Beats sent, by how they went: ok, or what they failed with.",
     _events(lambda counters: counters.beats.outcomes, "outcome")),
    ("rensei_daemon_heartbeat_duration_seconds", Kind.HISTOGRAM,
     "How long good beats took, from the question to the answer taken in.",
     lambda now: buckets(now.counters.beats.durations)),
    ("rensei_daemon_mutations_total", Kind.COUNTER,
     "Mutations on record, by outcome; the record outlives a restart.",
     _words("outcome", lambda now: {"applied": now.status.mutations.applied,
                                    "failed": now.status.mutations.failed})),
    ("rensei_daemon_mutations_unacknowledged", Kind.GAUGE,
     "Outcomes the platform has not confirmed yet.",
     _value(lambda now: now.status.mutations.unacknowledged)),
    ("rensei_daemon_mutations_waiting", Kind.GAUGE,
     "Mutations delivered and without an outcome: file or disk does not allow one.",
     _value(lambda now: now.status.mutations.waiting)),
    ("rensei_daemon_session_stream_state", Kind.GAUGE,
     "1 for the state a session's rotate stream is in, 0 for the others.",
     _stream_states),
    ("rensei_daemon_session_last_refresh_timestamp_seconds", Kind.GAUGE,
     "When a snapshot was last applied to a session.",
     _session(lambda session: seconds_since_epoch(session.refreshed_at))),
    ("rensei_daemon_session_refresh_until_timestamp_seconds", Kind.GAUGE,
     "When a session's data should have been refreshed.",
     _session(lambda session: seconds_since_epoch(session.refresh_until))),
    ("rensei_daemon_session_generation", Kind.GAUGE,
     "Which generation of values a session has; it begins anew with the daemon.",
     _session(lambda session: session.generation)),
    ("rensei_daemon_session_consumers", Kind.GAUGE,
     "How many are handed a session's values.",
     _session(lambda session: len(session.consumers))),
    ("rensei_daemon_session_consumers_behind", Kind.GAUGE,
     "How many of them do not have the newest generation.",
     _session(_behind)),
    ("rensei_daemon_session_snapshots_total", Kind.COUNTER,
     "Snapshots taken, by why, and by how they went.",
     _events(lambda counters: counters.sessions.snapshots, "session", "reason", "outcome")),
    ("rensei_daemon_session_stream_ends_total", Kind.COUNTER,
     "Streams that ended and tries that failed, by why; each is followed by another.",
     _events(lambda counters: counters.sessions.streams, "session", "reason")),
    ("rensei_daemon_session_deliveries_total", Kind.COUNTER,
     "Generations handed over, by kind (a hook that ran is one) and by how it went.",
     _events(lambda counters: counters.sessions.deliveries, "session", "kind", "outcome")),
    ("rensei_daemon_rotation_duration_seconds", Kind.HISTOGRAM,
     "From the arrival of new values to their delivery, by kind of delivery.",
     _delivery_times),
    ("rensei_daemon_loop_lag_seconds", Kind.HISTOGRAM,
     "How late the event loop was, looked at every five seconds.",
     lambda now: buckets(now.counters.loop_lag)),
    ("rensei_daemon_log_lines_dropped_total", Kind.COUNTER,
     "Log lines lost: the queue was full, or a write failed.",
     _value(lambda now: now.counters.log_lines_dropped)),
    ("process_cpu_seconds_total", Kind.COUNTER,
     "Processor time used, in user and system mode.",
     _value(lambda now: now.counters.process.cpu_seconds)),
    ("process_resident_memory_bytes", Kind.GAUGE,
     "Memory in use.",
     _value(lambda now: now.counters.process.resident_bytes)),
    ("process_virtual_memory_bytes", Kind.GAUGE,
     "Address space in use.",
     _value(lambda now: now.counters.process.virtual_bytes)),
    ("process_open_fds", Kind.GAUGE,
     "Open file descriptors.",
     _value(lambda now: now.counters.process.open_files)),
    ("process_max_fds", Kind.GAUGE,
     "How many there can be open at once.",
     _value(lambda now: now.counters.process.most_files)),
    ("process_start_time_seconds", Kind.GAUGE,
     "When the process started.",
     _value(lambda now: now.counters.process.started_at)),
)
# fmt: on
