"""Counts and durations of events since the daemon's start.

The board shows the current state; these show how often events happened and how long they
took. Each belongs to the task that counts. Nothing here contains a secret.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator

from rensei_daemon.fast_dataclass import dataclass, field

BUCKET_SECONDS = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0,
    2.5, 5.0, 10.0, 30.0, 60.0,
)  # fmt: skip
"""From a rotation on loopback to a hook that takes all of its time."""


class EventCounter:
    """Counts events by kind; a kind is one or more words."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, ...], int] = {}

    def increment(self, *sort: str) -> None:
        """Count one event."""
        self._counts[sort] = self._counts.get(sort, 0) + 1

    def __iter__(self) -> Iterator[tuple[tuple[str, ...], int]]:
        """Iterate over (kind, count), sorted by kind."""
        return iter(sorted(self._counts.items()))


class Histogram:
    """A histogram of durations in seconds."""

    def __init__(self) -> None:
        self._counts = [0] * (len(BUCKET_SECONDS) + 1)
        self.total_seconds = 0.0

    def observe(self, seconds: float) -> None:
        """Count one duration."""
        self._counts[bisect_left(BUCKET_SECONDS, seconds)] += 1
        self.total_seconds += seconds

    @property
    def count(self) -> int:
        """The number of durations."""
        return sum(self._counts)

    @property
    def cumulative_buckets(self) -> Iterator[tuple[float, int]]:
        """Iterate over (bucket, number of durations up to it)."""
        count = 0
        for bucket, more in zip(BUCKET_SECONDS, self._counts, strict=False):
            count += more
            yield bucket, count


@dataclass(frozen=True, slots=True)
class HeartbeatCounters:
    """Counts and durations of heartbeats."""

    outcomes: EventCounter = field(default_factory=EventCounter)
    """By `ok` or the failure's name."""
    durations: Histogram = field(default_factory=Histogram)
    """Of successful heartbeats, including a token refresh."""


@dataclass(frozen=True, slots=True)
class SessionCounters:
    """Counts and durations of snapshots, streams and deliveries."""

    snapshots: EventCounter = field(default_factory=EventCounter)
    """By session, reason, and `ok` or the failure's name."""
    streams: EventCounter = field(default_factory=EventCounter)
    """Ends of streams and of attempts, by session and reason."""
    deliveries: EventCounter = field(default_factory=EventCounter)
    """By session, kind of delivery, and `ok` or `failed`."""
    durations: dict[str, Histogram] = field(default_factory=lambda: defaultdict(Histogram))
    """From the arrival of new values to their delivery, by kind of delivery."""

    def observe_delivery(self, session: str, kind: str, seconds: float) -> None:
        """Count a delivery that took `seconds` since the values arrived."""
        self.deliveries.increment(session, kind, "ok")
        self.durations[kind].observe(seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessStats:
    """The kernel's statistics of this process; None for what cannot be read."""

    cpu_seconds: float
    resident_bytes: int | None = None
    virtual_bytes: int | None = None
    open_files: int | None = None
    most_files: float | None = None
    started_at: float | None = None
    """Seconds since the epoch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """All counters at one moment."""

    beats: HeartbeatCounters
    sessions: SessionCounters
    loop_lag: Histogram
    """How late the event loop ran its callbacks."""
    log_lines_dropped: int
    process: ProcessStats
