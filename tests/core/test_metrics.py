"""Every metric: what it says, that it is documented, and how many there can be."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from busy_daemon import NOW, busy_board, busy_figures
from rig.exposition import Family, read

from rensei_daemon.core.board import report
from rensei_daemon.core.counters import (
    ProcessStats,
)
from rensei_daemon.core.metrics import metrics
from rensei_daemon.core.prometheus import render

DOCS = Path(__file__).parents[2] / "docs/operations.md"
NOON = 1795521600


@pytest.fixture
def told() -> dict[str, Family]:
    """All of it, read back."""
    return read(render(metrics(report(busy_board(), NOW), busy_figures())))


@pytest.fixture
def short(told: dict[str, Family]) -> dict[str, Family]:
    """The daemon's own, without what all their names begin with."""
    return {name.removeprefix("rensei_daemon_"): family for name, family in told.items()}


def test_the_daemon_is_told_as_the_status_has_it(short: dict[str, Family]) -> None:
    """One state of five is 1; conditions are counted by code and severity."""
    assert short["build_info"].value(version="0.1.0") == 1
    assert short["state"].value(state="degraded") == 1
    assert sum(short["state"].samples.values()) == 1
    assert len(short["state"].samples) == 5
    assert short["conditions"].value(code="delivery.failed", severity="warning") == 2
    assert short["config_valid"].value() == 1
    assert short["projects"].value(state="enabled") == 4
    assert short["log_lines_dropped_total"].value() == 6
    assert short["loop_lag_seconds"].value("_count") == 1


def test_beats_and_mutations_are_told(short: dict[str, Family]) -> None:
    """When, how often, with which outcome and how long."""
    assert short["heartbeat_last_success_timestamp_seconds"].value() == NOON
    assert short["heartbeat_interval_seconds"].value() == 30
    assert short["heartbeat_consecutive_failures"].value() == 2
    assert short["heartbeats_total"].value(outcome="unreachable") == 1
    assert short["heartbeat_duration_seconds"].value("_sum") == 0.2
    assert short["mutations_total"].value(outcome="applied") == 7
    assert short["mutations_total"].value(outcome="failed") == 2
    assert short["mutations_unacknowledged"].value() == 1
    assert short["mutations_waiting"].value() == 3


def test_sessions_are_told_each(short: dict[str, Family]) -> None:
    """Their stream, the age of their data, and who is behind."""
    stream = short["session_stream_state"]
    assert stream.value(session="build", state="live") == 1
    assert stream.value(session="build", state="interrupted") == 0
    refreshed = short["session_last_refresh_timestamp_seconds"]
    assert refreshed.value(session="nightly") == NOON - 40
    until = short["session_refresh_until_timestamp_seconds"]
    assert until.value(session="build") == NOON + 900
    assert short["session_generation"].value(session="build") == 5
    assert short["session_consumers"].value(session="build") == 3
    assert short["session_consumers_behind"].value(session="build") == 2


def test_what_sessions_went_through_is_told(short: dict[str, Family]) -> None:
    """Snapshots, streams and deliveries by outcome, and how long rotations took."""
    snapshots = short["session_snapshots_total"]
    assert snapshots.value(session="build", reason="start", outcome="ok") == 1
    assert short["session_stream_ends_total"].value(session="build", reason="age") == 1
    deliveries = short["session_deliveries_total"]
    assert deliveries.value(session="build", kind="hook", outcome="failed") == 1
    assert deliveries.value(session="build", kind="env_file", outcome="ok") == 1
    rotation = short["rotation_duration_seconds"]
    assert rotation.value("_bucket", kind="env_file", le="0.0025") == 0
    assert rotation.value("_bucket", kind="env_file", le="0.005") == 1


def test_the_process_is_told_by_the_usual_names(told: dict[str, Family]) -> None:
    """Dashboards for any process work for this one."""
    assert {name: f.value() for name, f in told.items() if name.startswith("process")} == {
        "process_cpu_seconds_total": 1.25,
        "process_resident_memory_bytes": 48_000_000,
        "process_virtual_memory_bytes": 300_000_000,
        "process_open_fds": 21,
        "process_max_fds": 16384,
        "process_start_time_seconds": 1795435200.5,
    }


def test_a_session_that_is_gone_takes_its_numbers_along(told: dict[str, Family]) -> None:
    """There are as many as the configuration names, however often that changes."""
    sessions = {
        value
        for family in told.values()
        for _, labels in family.samples
        for label, value in labels
        if label == "session"
    }
    assert sessions == {"build", "nightly"}


def test_what_has_not_happened_is_left_out() -> None:
    """Without heartbeats, data and process statistics there are no samples, not zeros."""
    board = busy_board()
    board.heartbeat = replace(board.heartbeat, last_ok_at=None)
    for id in ("build", "nightly"):
        board.drop_session(id)
    quiet = replace(busy_figures(), process=ProcessStats(cpu_seconds=0.5))
    told = read(render(metrics(report(board, NOW), quiet)))
    assert not [name for name in told if "last_success" in name or "session" in name]
    assert [name for name in told if name.startswith("process")] == [
        "process_cpu_seconds_total"
    ]


def test_every_metric_is_documented(told: dict[str, Family]) -> None:
    """The table in the operator's manual names each, with its type, and no other."""
    row = r"^\| `([a-z_]+)` \| (counter|gauge|histogram) \|"
    rows = re.findall(row, DOCS.read_text(), re.MULTILINE)
    assert rows == [(name, family.kind) for name, family in told.items()]
