"""When a session's next snapshot is due, and why.

Callers report what happened and ask how long to wait; this module itself never waits, and
knows neither the platform nor the values. `now` is an argument, in monotonic seconds.

- Events request snapshots at a limited rate: one second apart, doubled while they bring
  nothing new, at most 30 s. So a noisy stream costs little, and a snapshot that events
  overtake does not cause the next one without end.
- Snapshots after a connect, a loss, or at the maximum age have their own times.
- After a failure everything waits for the retry, except an operator's request.
"""

from enum import StrEnum

from rensei_daemon.core.backoff import Draw
from rensei_daemon.fast_dataclass import dataclass

EVENT_SECONDS = 1.0
MOST_EVENT_SECONDS = 30.0
AFTER_FAILURE_SECONDS = 1.0
"""How soon after a failed snapshot a requested one may be taken."""
LOSS_SECONDS = (0.5, 0.9)
"""How soon after a loss: late enough for the snapshot of the next stream to replace it."""


class SnapshotReason(StrEnum):
    """Why a snapshot is taken."""

    START = "start"
    CONNECT = "connect"
    LOSS = "loss"
    EVENT = "event"
    ORDER = "order"
    OVERTAKEN = "overtaken"
    LOST_NAMES = "lost_names"
    ASKED = "asked"
    REFRESH = "refresh"
    POLL = "poll"
    RETRY = "retry"


PACED = frozenset({SnapshotReason.EVENT, SnapshotReason.ORDER, SnapshotReason.OVERTAKEN})

WHY = {
    SnapshotReason.START: "there are no values yet",
    SnapshotReason.CONNECT: "the stream was opened anew, and may have missed a rotation",
    SnapshotReason.LOSS: "the stream was lost, and may have missed a rotation",
    SnapshotReason.EVENT: "an event of the stream could not be used",
    SnapshotReason.ORDER: "an event of the stream came late or twice",
    SnapshotReason.OVERTAKEN: "an event came while the last snapshot was under way",
    SnapshotReason.LOST_NAMES: "the last one took more than half of the names away",
    SnapshotReason.ASKED: "somebody asked for it",
    SnapshotReason.REFRESH: "the last one is too old",
    SnapshotReason.POLL: "there is no stream",
}
"""For people: "a snapshot is wanted because …"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotIntervals:
    """How often snapshots are taken without a request."""

    poll_seconds: float = 60.0
    """How often while the stream is not live."""
    slow_poll_seconds: float = 300.0
    """How often once the stream has been down for long, or the platform has none for us."""
    long_down_seconds: float = 600.0
    steady_seconds: float = 60.0
    """A stream that lived this long counts as recovered."""


PACE = SnapshotIntervals()


@dataclass(frozen=True, slots=True)
class RequestedSnapshot:
    """A snapshot that was requested and not taken yet."""

    reason: SnapshotReason
    since: float


class SnapshotSchedule:
    """The requested snapshots and the earliest time of each."""

    def __init__(self, pace: SnapshotIntervals, draw: Draw, now: float) -> None:
        self._pace = pace
        self._draw = draw
        self._due: dict[SnapshotReason, float] = {SnapshotReason.START: now}
        self._newly_requested: RequestedSnapshot | None = RequestedSnapshot(
            SnapshotReason.START, now
        )
        """Requested since the last snapshot began."""
        self._unanswered: RequestedSnapshot | None = None
        """What the snapshot under way, or the failed one, was requested for."""
        self._is_paced = False
        """Whether an event requested the snapshot under way."""
        self._event_gap = EVENT_SECONDS
        self._next_event = now
        self._is_retry = False
        self._is_live = self._is_refused = False
        self._down_since = now
        self._not_before = now
        self._next_refresh = self._next_poll = now

    @property
    def requested(self) -> RequestedSnapshot | None:
        """The oldest request without a successful snapshot."""
        return self._unanswered or self._newly_requested

    def wait_seconds(self, now: float) -> float:
        """Return the seconds until a snapshot is due; zero or negative if one is."""
        due = self._next_refresh
        if not self._is_live:
            due = min(due, self._next_poll)
        if self._due:
            due = min(due, max(self._not_before, min(self._due.values())))
        return due - now

    def request(self, reason: SnapshotReason, now: float) -> None:
        """Request a snapshot, now or as soon as the rate limit or a failure allows."""
        due = now
        if reason in PACED:
            if now >= self._next_event + MOST_EVENT_SECONDS:
                self._event_gap = EVENT_SECONDS
            due = max(now, self._next_event)
        elif reason is SnapshotReason.LOSS:
            due = now + self._draw(*LOSS_SECONDS)
        elif reason is SnapshotReason.LOST_NAMES:
            due = now + self._pace.poll_seconds
        elif reason is SnapshotReason.ASKED:
            self._not_before = now
        self._due[reason] = min(due, self._due.get(reason, due))
        if self._newly_requested is None:
            self._newly_requested = RequestedSnapshot(reason, now)

    def begin(self, now: float) -> SnapshotReason:
        """Note that a snapshot begins, for all requests so far; return its reason."""
        reason = self._reason()
        self._is_paced = not PACED.isdisjoint(self._due)
        if self._is_paced:
            self._next_event = now + self._event_gap
        # Requests before the last failure are still open.
        self._unanswered = self.requested or RequestedSnapshot(reason, now)
        self._newly_requested = None
        self._due.clear()
        return reason

    def _reason(self) -> SnapshotReason:
        if self._due:
            return min(self._due, key=self._due.__getitem__)
        if self._is_retry:
            return SnapshotReason.RETRY
        is_poll = not self._is_live and self._next_poll <= self._next_refresh
        return SnapshotReason.POLL if is_poll else SnapshotReason.REFRESH

    def succeed(self, now: float, refresh_in_seconds: float, *, is_news: bool) -> None:
        """Note a success, how long it is valid, and whether it changed anything."""
        if self._is_paced and is_news:
            self._event_gap = EVENT_SECONDS
            self._next_event = min(self._next_event, now + EVENT_SECONDS)
        elif self._is_paced:
            self._event_gap = min(2 * self._event_gap, MOST_EVENT_SECONDS)
        self._unanswered = None
        self._is_retry = False
        self._next_refresh = now + refresh_in_seconds
        self._plan_poll(now)

    def fail(self, now: float, delay_seconds: float, *, asked_seconds: float) -> None:
        """Note a failure; `asked_seconds` is a wait the platform asked for."""
        self._is_retry = True
        # Both, or polling would ask a platform that is down without end.
        self._next_refresh = self._next_poll = now + max(delay_seconds, 0.5)
        self._not_before = now + max(asked_seconds, AFTER_FAILURE_SECONDS)

    def stream_connected(self, now: float) -> None:
        """Note that a stream was opened; it has delivered nothing yet."""
        self._is_refused = False
        self.request(SnapshotReason.CONNECT, now)

    def stream_is_live(self) -> None:
        """Note that the stream delivers: polling is not needed."""
        self._is_live = True

    def stream_is_silent(self, now: float) -> None:
        """Note that an open stream delivers no more: polling is needed again."""
        if self._is_live:
            self._is_live, self._down_since = False, now
            self._plan_poll(now)

    def stream_lost(self, now: float) -> None:
        """Note that an open stream has ended."""
        self.stream_is_silent(now)
        self.request(SnapshotReason.LOSS, now)

    def stream_refused(self) -> None:
        """Note that the platform has no stream for this session."""
        self._is_refused = True

    def _plan_poll(self, now: float) -> None:
        pace = self._pace
        is_slow = self._is_refused or now - self._down_since >= pace.long_down_seconds
        seconds = pace.slow_poll_seconds if is_slow else pace.poll_seconds
        self._next_poll = now + seconds * self._draw(0.8, 1.0)
