"""Numbers about the requests and streams of one server."""

import time
from collections import Counter as Counts
from collections.abc import Iterator, MutableMapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rensei_platform.bus.hub import Hub
from rensei_platform.services.resolver import Resolver
from rensei_platform.services.tally import Tally
from rensei_platform.version import version

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_METHODS = frozenset({"GET", "POST", "PUT", "DELETE"})
STREAM_CALL = "rotate_stream"
"""It lasts as long as its session, so its duration says nothing."""


class Metrics:
    """The metrics of one server, in a registry of their own."""

    def __init__(self, hub: Hub, resolver: Resolver, tally: Tally) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "rensei_platform_requests",
            "Requests answered.",
            ("call", "method", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "rensei_platform_request_seconds",
            "Time until a request was answered.",
            ("call",),
            buckets=_BUCKETS,
            registry=self.registry,
        )
        streams = Gauge(
            "rensei_platform_streams", "Open rotate streams.", registry=self.registry
        )
        streams.set_function(lambda: len(hub))
        info = Gauge(
            "rensei_platform_info", "This server.", ("version",), registry=self.registry
        )
        info.labels(version()).set(1)
        self.registry.register(_Failures(resolver))
        self.registry.register(_Counted(tally))

    def note(self, call: str, method: str, status: int, seconds: float) -> None:
        """Count an answered request. Labels are words of ours, never a caller's."""
        known = method if method in _METHODS else "other"
        self._requests.labels(call, known, str(status)).inc()
        if call != STREAM_CALL:
            self._seconds.labels(call).observe(seconds)


class _Failures(Collector):
    """Bindings whose provider failed last, by instance and cause."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the gauge."""
        gauge = GaugeMetricFamily(
            "rensei_platform_provider_failures",
            "Bindings that are served with older values, or with none.",
            labels=("provider", "cause"),
        )
        failures = self._resolver.failures.values()
        counts = Counts((one.error.instance, one.error.cause) for one in failures)
        for labels, count in sorted(counts.items()):
            gauge.add_metric(labels, count)
        yield gauge


class _Counted(Collector):
    """What the services count."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Yield the counters."""
        yield CounterMetricFamily(
            "rensei_platform_ignored_acks",
            "Outcomes of mutations that were not delivered to their host.",
            self._tally.ignored_acks,
        )
        yield CounterMetricFamily(
            "rensei_platform_audit_entries_lost",
            "Audit entries that could not be written after their answer.",
            self._tally.lost_entries,
        )


class Measured:
    """The application inside, with every request of it counted."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; note its status and how long it took."""
        begun, status = time.perf_counter(), 500

        async def send_and_look(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_and_look)
        finally:
            seconds = time.perf_counter() - begun
            self._metrics.note(_call(scope), scope["method"], status, seconds)


def _call(scope: MutableMapping[str, Any]) -> str:
    """Return the name of the route that answered; `none` if none did."""
    return getattr(scope.get("endpoint"), "__name__", "none")
