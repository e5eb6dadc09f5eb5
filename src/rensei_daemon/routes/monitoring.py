"""The routes for monitors: liveness, readiness, metrics.

They only read and return no secret, so everyone who can connect may use them; over TCP
there are no others. None of them sends a request to the platform.
"""

from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any

import anyio

from rensei_daemon import process
from rensei_daemon.clock import CLOCK
from rensei_daemon.control_api import schema
from rensei_daemon.control_api.wire import Request, Response, Routes, Text, route
from rensei_daemon.core.board import Board, report
from rensei_daemon.core.counters import (
    Counters,
    HeartbeatCounters,
    Histogram,
    SessionCounters,
)
from rensei_daemon.core.liveness import Deadlines
from rensei_daemon.core.metrics import metrics
from rensei_daemon.core.prometheus import MEDIA_TYPE, Metric, render
from rensei_daemon.core.status import plain
from rensei_daemon.fast_dataclass import dataclass
from rensei_daemon.tasks.status_reporting import LATE_BEFORE_WATCHDOG_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitoringRoutes:
    """The handlers, and what they read."""

    board: Board
    deadlines: Deadlines
    beats: HeartbeatCounters
    sessions: SessionCounters
    loop_lag: Histogram
    log_lines_dropped: Callable[[], int]

    def routes(self) -> Routes:
        """Return the routes that are served over TCP too."""
        return dict(
            [
                route(schema.HEALTHZ, self._healthz),
                route(schema.READYZ, self._readyz),
                route(schema.METRICS, self._metrics),
            ]
        )

    def control_routes(self) -> Routes:
        """Return these, and the one of our own command line."""
        return dict(
            [*self.routes().items(), route(schema.METRICS_JSON, self._metrics_json)]
        )

    async def _healthz(self, _: Request) -> Response:
        late = self.deadlines.overdue(anyio.current_time() - LATE_BEFORE_WATCHDOG_SECONDS)
        status = HTTPStatus.SERVICE_UNAVAILABLE if late else HTTPStatus.OK
        return Response(status, {"live": not late, "late": list(late)})

    async def _readyz(self, _: Request) -> Response:
        missing = list(self._missing())
        status = HTTPStatus.SERVICE_UNAVAILABLE if missing else HTTPStatus.OK
        return Response(status, {"ready": not missing, "missing": missing})

    def _missing(self) -> Iterator[str]:
        if self.board.is_stopping:
            yield "the daemon is stopping"
        if not self.board.config.valid:
            yield "the configuration file cannot be used"
        for line in sorted(self.board.sessions.values(), key=lambda line: line.id):
            if line.refreshed_at is None:
                yield f"session {line.id} has no data yet"

    async def _metrics(self, _: Request) -> Text:
        return Text(render(self._now()), MEDIA_TYPE)

    async def _metrics_json(self, _: Request) -> list[dict[str, Any]]:
        return [plain(metric) for metric in self._now()]

    def _now(self) -> list[Metric]:
        counters = Counters(
            beats=self.beats,
            sessions=self.sessions,
            loop_lag=self.loop_lag,
            log_lines_dropped=self.log_lines_dropped(),
            process=process.process_stats(),
        )
        return metrics(report(self.board, *CLOCK.read()), counters)
