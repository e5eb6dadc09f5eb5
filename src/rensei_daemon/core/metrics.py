"""Which metrics there are, from the same status that a person is shown.

Names follow Prometheus' rules: base units, `_total` for what only grows, times as seconds
since the epoch, so that whoever reads them computes ages. A label has as many values as
the configuration has sessions, or this code has words; no text from elsewhere is one,
but a pool's status in a condition's code, of which there is one at a time.
"""

from collections import Counter
from collections.abc import Iterator

from rensei_daemon.core.counters import Counters, EventCounter, ProcessStats
from rensei_daemon.core.health import SessionHealth, StreamState
from rensei_daemon.core.prometheus import (
    Metric,
    Sample,
    counter,
    gauge,
    histogram,
    one,
    one_of,
    seconds_since_epoch,
)
from rensei_daemon.core.status import DaemonState, Status


def metrics(status: Status, counters: Counters) -> list[Metric]:
    """Return every metric, in the order they are told."""
    return [
        *_daemon(status),
        *_heartbeat(status, counters),
        *_mutations(status),
        *_sessions(status.sessions),
        *_session_counters(status, counters),
        *_inside(counters),
        *_process(counters.process),
    ]


def _daemon(status: Status) -> Iterator[Metric]:
    yield gauge(
        "rensei_daemon_build_info",
        "Which version runs; always 1.",
        one(1, version=status.version),
    )
    yield gauge(
        "rensei_daemon_state",
        "1 for the state the daemon is in, 0 for the others.",
        one_of(DaemonState, status.state, "state"),
    )
    kinds = Counter((c.code, c.severity) for c in status.conditions)
    yield gauge(
        "rensei_daemon_conditions",
        "How many conditions of this code and severity there are.",
        (
            Sample(count, {"code": code, "severity": severity})
            for (code, severity), count in sorted(kinds.items())
        ),
    )
    yield gauge(
        "rensei_daemon_config_valid",
        "1 when the configuration file can be used, 0 while an older text is in force.",
        one(int(status.config.valid)),
    )
    yield gauge(
        "rensei_daemon_projects",
        "How many projects the configuration lists.",
        (
            Sample(status.projects.enabled, {"state": "enabled"}),
            Sample(status.projects.disabled, {"state": "disabled"}),
        ),
    )


def _heartbeat(status: Status, counters: Counters) -> Iterator[Metric]:
    line = status.heartbeat
    yield gauge(
        "rensei_daemon_heartbeat_last_success_timestamp_seconds",
        "When the last good beat was answered.",
        one(seconds_since_epoch(line.last_ok_at)),
    )
    yield gauge(
        "rensei_daemon_heartbeat_interval_seconds",
        "How often a beat is sent.",
        one(line.interval_seconds),
    )
    yield gauge(
        "rensei_daemon_heartbeat_consecutive_failures",
        "How many beats have failed since the last good one.",
        one(line.consecutive_failures),
    )
    yield counter(
        "rensei_daemon_heartbeats_total",
        "Beats sent, by how they went: ok, or what they failed with.",
        _of(counters.beats.outcomes, "outcome"),
    )
    yield histogram(
        "rensei_daemon_heartbeat_duration_seconds",
        "How long good beats took, from the question to the answer taken in.",
        {"": counters.beats.durations},
        "",
    )


def _mutations(status: Status) -> Iterator[Metric]:
    line = status.mutations
    yield counter(
        "rensei_daemon_mutations_total",
        "Mutations on record, by outcome; the record outlives a restart.",
        (
            Sample(line.applied, {"outcome": "applied"}),
            Sample(line.failed, {"outcome": "failed"}),
        ),
    )
    yield gauge(
        "rensei_daemon_mutations_unacknowledged",
        "Outcomes the platform has not confirmed yet.",
        one(line.unacknowledged),
    )
    yield gauge(
        "rensei_daemon_mutations_waiting",
        "Mutations delivered and without an outcome: file or disk does not allow one.",
        one(line.waiting),
    )


def _sessions(sessions: tuple[SessionHealth, ...]) -> Iterator[Metric]:
    yield gauge(
        "rensei_daemon_session_stream_state",
        "1 for the state a session's rotate stream is in, 0 for the others.",
        (
            sample
            for line in sessions
            for sample in one_of(StreamState, line.stream, "state", session=line.id)
        ),
    )
    yield gauge(
        "rensei_daemon_session_last_refresh_timestamp_seconds",
        "When a snapshot was last applied to a session.",
        (
            sample
            for line in sessions
            for sample in one(seconds_since_epoch(line.refreshed_at), session=line.id)
        ),
    )
    yield gauge(
        "rensei_daemon_session_refresh_until_timestamp_seconds",
        "When a session's data should have been refreshed.",
        (
            sample
            for line in sessions
            for sample in one(seconds_since_epoch(line.refresh_until), session=line.id)
        ),
    )
    yield gauge(
        "rensei_daemon_session_generation",
        "Which generation of values a session has; it begins anew with the daemon.",
        (Sample(line.generation, {"session": line.id}) for line in sessions),
    )
    yield gauge(
        "rensei_daemon_session_consumers",
        "How many are handed a session's values.",
        (Sample(len(line.consumers), {"session": line.id}) for line in sessions),
    )
    yield gauge(
        "rensei_daemon_session_consumers_behind",
        "How many of them do not have the newest generation.",
        (Sample(_behind(line), {"session": line.id}) for line in sessions),
    )


def _behind(line: SessionHealth) -> int:
    return sum(consumer.generation != line.generation for consumer in line.consumers)


def _session_counters(status: Status, counters: Counters) -> Iterator[Metric]:
    present = {line.id for line in status.sessions}
    counted = counters.sessions
    yield counter(
        "rensei_daemon_session_snapshots_total",
        "Snapshots taken, by why, and by how they went.",
        _of(counted.snapshots, "session", "reason", "outcome", present=present),
    )
    yield counter(
        "rensei_daemon_session_stream_ends_total",
        "Streams that ended and tries that failed, by why; each is followed by another.",
        _of(counted.streams, "session", "reason", present=present),
    )
    yield counter(
        "rensei_daemon_session_deliveries_total",
        "Generations handed over, by kind (a hook that ran is one) and by how it went.",
        _of(counted.deliveries, "session", "kind", "outcome", present=present),
    )
    yield histogram(
        "rensei_daemon_rotation_duration_seconds",
        "From the arrival of new values to their delivery, by kind of delivery.",
        counted.durations,
        "kind",
    )


def _of(
    counter: EventCounter, *labels: str, present: set[str] | None = None
) -> Iterator[Sample]:
    for sort, count in counter:
        if present is None or sort[0] in present:
            yield Sample(count, dict(zip(labels, sort, strict=True)))


def _inside(counters: Counters) -> Iterator[Metric]:
    yield histogram(
        "rensei_daemon_loop_lag_seconds",
        "How late the event loop was, looked at every five seconds.",
        {"": counters.loop_lag},
        "",
    )
    yield counter(
        "rensei_daemon_log_lines_dropped_total",
        "Log lines lost: the queue was full, or a write failed.",
        one(counters.log_lines_dropped),
    )


def _process(process: ProcessStats) -> Iterator[Metric]:
    yield counter(
        "process_cpu_seconds_total",
        "Processor time used, in user and system mode.",
        one(process.cpu_seconds),
    )
    yield gauge(
        "process_resident_memory_bytes", "Memory in use.", one(process.resident_bytes)
    )
    yield gauge(
        "process_virtual_memory_bytes", "Address space in use.", one(process.virtual_bytes)
    )
    yield gauge("process_open_fds", "Open file descriptors.", one(process.open_files))
    yield gauge(
        "process_max_fds", "How many there can be open at once.", one(process.most_files)
    )
    yield gauge(
        "process_start_time_seconds",
        "When the process started.",
        one(process.started_at),
    )
