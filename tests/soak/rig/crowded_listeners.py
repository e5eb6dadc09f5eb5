"""The daemon's two listeners in this process, and a crowd that comes to both."""

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

from rensei_daemon.control_api.client import request
from rensei_daemon.control_api.schema import STATUS
from rensei_daemon.control_api.server import serve_control, serve_metrics
from rensei_daemon.control_api.wire import Request
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
from rensei_daemon.routes.monitoring import MonitoringRoutes
from rig import crowd
from rig.tcp import free_port, get


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

    async def answer(self, patience_seconds: float) -> None:
        """Ask both, the metrics again where one is told to come back."""
        told = await anyio.to_thread.run_sync(
            lambda: request(self.path, *STATUS, timeout_seconds=patience_seconds)
        )
        assert len(told["sessions"]) == 20
        status = 503
        with anyio.fail_after(patience_seconds):
            while status == 503:
                status, _ = await get(self.port, "/metrics")
        assert status == 200


@asynccontextmanager
async def crowded_listeners(clients: int) -> AsyncIterator[Listeners]:
    """Serve the control socket and the metrics port to so many clients at each."""
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
        routes = {**probes.control_routes(), STATUS: status}
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
            async with _crowd_at(clients, str(path), str(port)):
                yield Listeners(path, port, ticker)
            loops.cancel_scope.cancel()


@asynccontextmanager
async def _crowd_at(clients: int, *targets: str) -> AsyncIterator[None]:
    """Have so many clients come to each target, and stay for as long as the block."""
    command = [sys.executable, crowd.__file__, str(clients), *targets]
    async with await anyio.open_process(command, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        assert (await process.stdout.receive()).startswith(b"gathered")
        try:
            yield
        finally:
            process.kill()
