"""The routes for monitors."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import anyio
import pytest
from rig.exposition import read

from rensei_daemon.control_api.schema import (
    HEALTHZ,
    METRICS,
    METRICS_JSON,
    READYZ,
    Endpoint,
)
from rensei_daemon.control_api.wire import Request, Response, Text
from rensei_daemon.core.board import Board
from rensei_daemon.core.counters import HeartbeatCounters, Histogram, SessionCounters
from rensei_daemon.core.health import (
    ConfigHealth,
    HeartbeatHealth,
    SessionHealth,
    WorkerHealth,
)
from rensei_daemon.core.liveness import Deadlines
from rensei_daemon.routes.monitoring import MonitoringRoutes
from rensei_daemon.sockets.peer import UNKNOWN_PEER


@pytest.fixture
def probes() -> MonitoringRoutes:
    """Probes over a daemon that has just started, with one session."""
    now = datetime.now(UTC)
    board = Board(
        version="0.1.0",
        pid=1,
        started_at=now,
        config=ConfigHealth(path="/c.toml", digest=""),
        worker=WorkerHealth(platform_url="https://app.rensei.ai"),
        heartbeat=HeartbeatHealth(interval_seconds=30),
    )
    board.post(SessionHealth(id="build", since=now, added_at=now))
    return MonitoringRoutes(
        board=board,
        deadlines=Deadlines(),
        beats=HeartbeatCounters(),
        sessions=SessionCounters(),
        loop_lag=Histogram(),
        log_lines_dropped=lambda: 3,
    )


async def ask(probes: MonitoringRoutes, endpoint: Endpoint[Any]) -> Any:
    """Send a request as a client on a network would."""
    return await probes.control_routes()[endpoint](Request(peer=UNKNOWN_PEER))


async def test_it_lives_while_every_loop_turns(probes: MonitoringRoutes) -> None:
    """A deadline overdue by more than the watchdog allows is a 503 with the loop's name."""
    probes.deadlines.set("heartbeat", anyio.current_time() - 4)
    assert await ask(probes, HEALTHZ) == Response(200, {"live": True, "late": []})
    probes.deadlines.set("heartbeat", anyio.current_time() - 6)
    assert await ask(probes, HEALTHZ) == Response(
        503, {"live": False, "late": ["heartbeat"]}
    )


def _fresh(board: Board) -> SessionHealth:
    return replace(board.sessions["build"], refreshed_at=datetime.now(UTC))


async def test_it_is_ready_once_every_session_has_data(probes: MonitoringRoutes) -> None:
    """Neither failed heartbeats nor old data matter."""
    missing = ["session build has no data yet"]
    assert await ask(probes, READYZ) == Response(503, {"ready": False, "missing": missing})
    probes.board.post(_fresh(probes.board))
    assert await ask(probes, READYZ) == Response(200, {"ready": True, "missing": []})


async def test_it_is_not_ready_with_a_file_it_cannot_use_or_on_its_way_out(
    probes: MonitoringRoutes,
) -> None:
    """Each reason is named."""
    probes.board.post(_fresh(probes.board))
    probes.board.post(replace(probes.board.config, valid=False))
    answer = await ask(probes, READYZ)
    assert answer.status == 503
    assert answer.body["missing"] == ["the configuration file cannot be used"]
    probes.board.stop()
    answer = await ask(probes, READYZ)
    assert answer.body["missing"][0] == "the daemon is stopping"


async def test_metrics_are_told_in_text_and_in_json(probes: MonitoringRoutes) -> None:
    """Both have the same values."""
    text = await ask(probes, METRICS)
    assert isinstance(text, Text)
    assert text.media_type == "text/plain; version=0.0.4; charset=utf-8"
    told = read(text.content)
    assert told["rensei_daemon_state"].value(state="starting") == 1
    assert told["rensei_daemon_log_lines_dropped_total"].value() == 3
    listed = {metric["name"]: metric for metric in await ask(probes, METRICS_JSON)}
    # Histograms of what has not happened yet are there too, with zeros.
    assert told.keys() == {name for name, metric in listed.items() if metric["samples"]}
    assert listed["rensei_daemon_build_info"] == {
        "name": "rensei_daemon_build_info",
        "kind": "gauge",
        "help": "Which version runs; always 1.",
        "samples": [{"value": 1, "labels": {"version": "0.1.0"}, "suffix": ""}],
    }


def test_only_reads_are_served_over_tcp(probes: MonitoringRoutes) -> None:
    """There are three routes, and none of them changes anything."""
    routes = probes.routes()
    assert routes.keys() == {HEALTHZ, READYZ, METRICS}
    assert {method for method, _ in probes.control_routes()} == {"GET"}
