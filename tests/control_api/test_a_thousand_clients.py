"""A thousand clients at each listener, most of them ill-behaved, and nobody else minds."""

import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
import anyio.to_thread
import pytest
from rig import crowd
from rig.tcp import free_port, get

from rensei_daemon.control_api.client import request
from rensei_daemon.control_api.schema import STATUS
from rensei_daemon.control_api.server import serve_control, serve_metrics
from rensei_daemon.control_api.wire import Request, Route
from rensei_daemon.core.board import Board, report
from rensei_daemon.core.counters import HeartbeatCounters, Histogram, SessionCounters
from rensei_daemon.core.health import (
    ConfigHealth,
    HeartbeatHealth,
    SessionHealth,
    WorkerHealth,
)
from rensei_daemon.core.liveness import Deadlines
from rensei_daemon.core.status import to_json
from rensei_daemon.monitoring_routes import MonitoringRoutes

CLIENTS = 1000
MOST_SECONDS, WORST_SECONDS = 0.1, 0.5
"""What nearly every look, and the single worst one, may be late by. A crowd that held up
the loop would do so for seconds; a slow machine has its moments."""
PATIENCE_SECONDS = 20.0
"""Not the daemon's: this machine may have other things to do."""


def board() -> Board:
    """A host of twenty sessions."""
    now = datetime.now(UTC)
    made = Board(
        version="0.1.0",
        pid=1,
        started_at=now,
        config=ConfigHealth(path="/c.toml", digest=""),
        worker=WorkerHealth(platform_url="https://app.rensei.ai"),
        heartbeat=HeartbeatHealth(interval_seconds=30),
    )
    for number in range(20):
        made.post(SessionHealth(id=f"s{number}", since=now, added_at=now))
    return made


class Ticker:
    """A loop like the daemon's own, which sleeps and looks how late it was."""

    def __init__(self) -> None:
        self.late: list[float] = []

    async def run(self) -> None:
        """Tick every 20 ms; what other processes of this machine took is not counted."""
        while True:
            due, worked = time.monotonic() + 0.02, time.thread_time()
            await anyio.sleep(0.02)
            late, own = time.monotonic() - due, time.thread_time() - worked
            self.late.append(min(late, own))


@dataclass
class Listeners:
    """Both of them, in this process, and a ticker beside them."""

    path: Path
    port: int
    ticker: Ticker


@pytest.fixture
async def listeners() -> AsyncIterator[Listeners]:
    """The control socket and the metrics port, as the daemon has them."""
    shown, port, ticker = board(), free_port(), Ticker()
    probes = MonitoringRoutes(
        board=shown,
        deadlines=Deadlines(),
        beats=HeartbeatCounters(),
        sessions=SessionCounters(),
        loop_lag=Histogram(),
        log_lines_dropped=lambda: 0,
    )

    async def status(_: Request) -> Any:
        return to_json(report(shown, datetime.now(UTC)))

    async def control(*, task_status: Any) -> None:
        routes = {**probes.control_routes(), STATUS: Route(status)}
        await serve_control(path, routes, task_status=task_status)

    async def metrics(*, task_status: Any) -> None:
        address = ("127.0.0.1", port)
        await serve_metrics(address, probes.routes(), task_status=task_status)

    with TemporaryDirectory() as place:
        path = Path(place, "control.sock")
        async with anyio.create_task_group() as loops:
            await loops.start(control)
            await loops.start(metrics)
            loops.start_soon(ticker.run)
            yield Listeners(path, port, ticker)
            loops.cancel_scope.cancel()


@asynccontextmanager
async def crowd_at(*targets: str) -> AsyncIterator[None]:
    """Have a thousand clients come to each target, and stay for as long as the block."""
    command = [sys.executable, crowd.__file__, str(CLIENTS), *targets]
    async with await anyio.open_process(command, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        assert (await process.stdout.receive()).startswith(b"gathered")
        try:
            yield
        finally:
            process.kill()


@pytest.mark.timeout(120)
async def test_a_thousand_clients_disturb_no_loop_and_lock_nobody_out(
    listeners: Listeners,
) -> None:
    """Another task of the loop is not late by 100 ms, and who asks is answered."""
    path, port, ticker = listeners.path, listeners.port, listeners.ticker
    async with crowd_at(str(path), str(port)):
        for _ in range(10):
            told = await anyio.to_thread.run_sync(
                lambda: request(path, *STATUS, timeout_seconds=PATIENCE_SECONDS)
            )
            assert len(told["sessions"]) == 20
            await _scrape(port)
    assert len(ticker.late) > 10
    assert statistics.quantiles(ticker.late, n=20)[-1] < MOST_SECONDS
    assert max(ticker.late) < WORST_SECONDS


async def _scrape(port: int) -> None:
    """Ask for the metrics, again where one is told to come back."""
    status = 503
    with anyio.fail_after(PATIENCE_SECONDS):
        while status == 503:
            status, _ = await get(port, "/metrics")
    assert status == 200
