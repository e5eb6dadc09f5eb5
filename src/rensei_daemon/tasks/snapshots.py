"""The loop of one session's snapshots: takes one whenever it is due."""

from collections.abc import Awaitable, Callable

import anyio

from rensei_daemon.core.backoff import Draw
from rensei_daemon.core.board import Board
from rensei_daemon.core.counters import SessionCounters
from rensei_daemon.core.liveness import Deadlines
from rensei_daemon.core.retry_policy import (
    RETRY,
    SNAPSHOT_SECONDS,
    capped_retry,
    requested_wait,
)
from rensei_daemon.core.session import Session
from rensei_daemon.core.snapshot_schedule import (
    PACE,
    SnapshotIntervals,
    SnapshotReason,
    SnapshotSchedule,
)
from rensei_daemon.delivery.turns import Turns
from rensei_daemon.errors import PlatformError
from rensei_daemon.fast_dataclass import dataclass, field
from rensei_daemon.mutation_events import MutationEvents
from rensei_daemon.platform_api.client import PlatformClient
from rensei_daemon.platform_api.wire import Snapshot
from rensei_daemon.tasks.deferred import DeferredWork
from rensei_daemon.wake_event import Cycle, WakeEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionContext:
    """What the loops of all sessions share."""

    client: PlatformClient
    board: Board
    deadlines: Deadlines
    draw: Draw
    turns: Turns
    """Of the files in memory; its `run` must run as long as any session does."""
    deferred: DeferredWork = field(default_factory=DeferredWork)
    """Its `run` must, too."""
    counters: SessionCounters = field(default_factory=SessionCounters)
    pace: SnapshotIntervals = PACE
    mutation_events: MutationEvents = field(
        default_factory=lambda: MutationEvents(WakeEvent())
    )
    on_answer: Callable[[], None] = lambda: None
    """Called with each snapshot, and each stream that was opened."""


class SnapshotLoop:
    """Takes snapshots when the schedule says so, one at a time."""

    def __init__(
        self,
        session: Session,
        context: SessionContext,
        *,
        on_request: Callable[[], None],
        on_snapshot: Callable[[Snapshot], Awaitable[None]],
        on_failure: Callable[[PlatformError], None],
    ) -> None:
        """`on_snapshot` applies a snapshot and updates the schedule."""
        pace, draw = context.pace, context.draw
        self.schedule = SnapshotSchedule(pace, draw, anyio.current_time())
        self.cycle = Cycle()
        """One iteration is one snapshot, whether it succeeds or fails."""
        self.error: PlatformError | None = None
        """The error of the last snapshot; None if it succeeded."""
        self._session, self._on_request = session, on_request
        self._on_snapshot, self._on_failure = on_snapshot, on_failure
        self._on_answer = context.on_answer
        self._client, self._pace, self._draw = context.client, pace, draw
        self._deadlines, self._outcomes = context.deadlines, context.counters.snapshots
        self._changed = WakeEvent()
        self._retry = RETRY

    def request(self, reason: SnapshotReason) -> None:
        """Request a snapshot; the reason decides how soon it is taken."""
        self.schedule.request(reason, anyio.current_time())
        self._changed.set()

    def look_again(self) -> None:
        """Read the schedule again: it has changed."""
        self._changed.set()

    async def run(self) -> None:
        """Take snapshots until cancelled."""
        while True:
            while (wait := self.schedule.wait_seconds(anyio.current_time())) > 0:
                self._set_deadline(wait)
                await self._changed.wait(within=wait)
            reason = self.schedule.begin(anyio.current_time())
            self._set_deadline(0.0)
            self.cycle.begin()
            outcome = await self._take()
            self._outcomes.increment(self._session.id, reason, outcome)
            self.cycle.end()

    async def _take(self) -> str:
        self._on_request()
        try:
            snapshot = await self._client.snapshot(self._session)
        except PlatformError as error:
            self.error = error
            self._retry = capped_retry(error, self._retry)
            asked = requested_wait(error, self._pace.slow_poll_seconds)
            delay, self._retry = self._retry.next(self._draw, at_least=asked)
            self.schedule.fail(anyio.current_time(), delay, asked_seconds=asked)
            self._on_failure(error)
            return error.failure
        self.error, self._retry = None, RETRY
        self._on_answer()
        await self._on_snapshot(snapshot)
        return "ok"

    def _set_deadline(self, wait: float) -> None:
        until = anyio.current_time() + wait + SNAPSHOT_SECONDS
        self._deadlines.set(f"snapshots of {self._session.id}", until)
