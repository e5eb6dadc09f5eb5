"""What health costs: the board at a beat, a report, and every way it is told.

A host of so many sessions, all well, each with three consumers; a JSON line for each
figure, in microseconds of this process, the median of many rounds. A beat posts two lines
and a session's refresh one; the report is made for whoever asks and after a change, and
then told as JSON (`status`, `status.json`) or as metrics. `beats_a_day_ms` is what 2,880
beats take of a core, each with its report and its JSON. Run it alone:
`.venv-dev/bin/python tests/bench/board.py`.
"""

import json
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from rensei_daemon import process
from rensei_daemon.core.board import Board, report
from rensei_daemon.core.counters import (
    Counters,
    HeartbeatCounters,
    Histogram,
    SessionCounters,
)
from rensei_daemon.core.health import (
    ConfigHealth,
    ConsumerHealth,
    HeartbeatHealth,
    SessionHealth,
    StreamState,
    WorkerHealth,
)
from rensei_daemon.core.metrics import metrics
from rensei_daemon.core.prometheus import render
from rensei_daemon.core.status import to_json

ROUNDS = 200
SESSIONS = (1, 50)
KINDS = ("env_file", "socket", "hook")
BEATS_A_DAY = 24 * 3600 / 30


def host(sessions: int, now: datetime) -> Board:
    """Return the board of such a host."""
    board = Board(
        version="0.1.0",
        pid=1,
        started_at=now,
        config=ConfigHealth(path="/etc/rensei-daemon/config.toml", digest="3fa9"),
        worker=WorkerHealth(platform_url="https://app.rensei.ai", worker_id="wkr_1"),
        heartbeat=HeartbeatHealth(interval_seconds=30, last_ok_at=now),
    )
    for number in range(sessions):
        board.post(
            SessionHealth(
                id=f"session-{number}",
                stream=StreamState.LIVE,
                since=now,
                added_at=now,
                generation=3,
                refreshed_at=now,
                refresh_until=now + timedelta(hours=1),
                names=("GITHUB_TOKEN", "NPM_TOKEN"),
                consumers=tuple(
                    ConsumerHealth(kind=kind, name=kind, generation=3) for kind in KINDS
                ),
            )
        )
    return board


def counted(sessions: int) -> SessionCounters:
    """Return what such a host has been through."""
    counters = SessionCounters()
    for number in range(sessions):
        for reason in ("start", "connect", "refresh"):
            counters.snapshots.increment(f"session-{number}", reason, "ok")
        counters.streams.increment(f"session-{number}", "age")
        for kind in KINDS:
            counters.observe_delivery(f"session-{number}", kind, 0.002)
    return counters


def microseconds(work: Callable[[], object]) -> float:
    """Return the median time of the work."""
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return round(statistics.median(times) * 1e6, 1)


def measure(sessions: int) -> Mapping[str, float]:
    """Measure everything on a host of so many sessions."""
    now = datetime.now(UTC)
    board, gone_through = host(sessions, now), counted(sessions)

    def beat() -> None:
        at = datetime.now(UTC)
        board.post(replace(board.worker, worker_id="wkr_1"))
        board.post(replace(board.heartbeat, last_ok_at=at))

    def counters() -> Counters:
        return Counters(
            beats=HeartbeatCounters(),
            sessions=gone_through,
            loop_lag=Histogram(),
            log_lines_dropped=0,
            process=process.process_stats(),
        )

    status, still = report(board, now), counters()
    text = render(metrics(status, still))
    reported = microseconds(lambda: report(board, now))
    in_json = microseconds(lambda: json.dumps(to_json(status)))
    posted = microseconds(beat)
    return {
        "beat_posted_us": posted,
        "report_us": reported,
        "report_as_json_us": in_json,
        "process_figures_us": microseconds(process.process_stats),
        "metrics_rendered_us": microseconds(lambda: render(metrics(status, still))),
        "metrics_bytes": len(text),
        "metrics_lines": text.count("\n"),
        "beats_a_day_ms": round((posted + reported + in_json) * BEATS_A_DAY / 1000, 1),
    }


def main() -> None:
    """Print a line for each figure."""
    for sessions in SESSIONS:
        for what, value in measure(sessions).items():
            print(json.dumps({"sessions": sessions, "what": what, "value": value}))


if __name__ == "__main__":
    main()
