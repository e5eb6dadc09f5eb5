"""A daemon with something to tell in every metric, as the core has it."""

from datetime import UTC, datetime, timedelta

from rensei_daemon.core.board import Board
from rensei_daemon.core.conditions import Code
from rensei_daemon.core.counters import (
    Counters,
    HeartbeatCounters,
    Histogram,
    ProcessStats,
    SessionCounters,
)
from rensei_daemon.core.health import (
    ConfigHealth,
    ConsumerHealth,
    HeartbeatHealth,
    MutationsHealth,
    ProjectsHealth,
    SessionHealth,
    StreamState,
    WorkerHealth,
)

NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)


def busy_board() -> Board:
    """A board on which every line says something."""
    board = Board(
        version="0.1.0",
        pid=812,
        started_at=NOW - timedelta(days=1),
        config=ConfigHealth(path="/c.toml", digest=""),
        worker=WorkerHealth(platform_url="https://app.rensei.ai"),
        heartbeat=HeartbeatHealth(
            interval_seconds=30, last_ok_at=NOW, consecutive_failures=2
        ),
    )
    board.post(MutationsHealth(applied=7, failed=2, unacknowledged=1, waiting=3))
    board.post(ProjectsHealth(enabled=4, disabled=1))
    for id in ("build", "nightly"):
        board.post(
            SessionHealth(
                id=id,
                stream=StreamState.LIVE,
                since=NOW,
                added_at=NOW,
                generation=5,
                refreshed_at=NOW - timedelta(seconds=40),
                refresh_until=NOW + timedelta(seconds=900),
                consumers=(
                    ConsumerHealth(kind="env_file", name="/run/b.env", generation=5),
                    ConsumerHealth(kind="hook", name="/bin/x", generation=4),
                    ConsumerHealth(kind="socket", name="pid 9"),
                ),
            )
        )
    for subject in ("build:hook", "nightly:hook"):
        board.raise_alarm(Code.DELIVERY_FAILED, subject, hint="", now=NOW, subject=subject)
    return board


def busy_figures() -> Counters:
    """Figures of all sorts."""
    beats, sessions, lag = HeartbeatCounters(), SessionCounters(), Histogram()
    beats.outcomes.increment("ok")
    beats.outcomes.increment("unreachable")
    beats.durations.observe(0.2)
    sessions.snapshots.increment("build", "start", "ok")
    sessions.snapshots.increment("build", "poll", "unavailable")
    sessions.streams.increment("build", "age")
    sessions.observe_delivery("build", "env_file", 0.004)
    sessions.deliveries.increment("build", "hook", "failed")
    sessions.streams.increment("gone", "age")
    lag.observe(0.0005)
    return Counters(
        beats=beats,
        sessions=sessions,
        loop_lag=lag,
        log_lines_dropped=6,
        process=ProcessStats(
            cpu_seconds=1.25,
            resident_bytes=48_000_000,
            virtual_bytes=300_000_000,
            open_files=21,
            most_files=16384,
            started_at=1795435200.5,
        ),
    )
