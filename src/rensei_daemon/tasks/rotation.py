"""One session's credentials: keeps them fresh and delivers every new generation.

::

    snapshots ─┐                                   ┌─▶ delivery (env file, …)
               ├─▶ values ─▶ next generation ──────┼─▶ delivery
    stream  ───┘   (memory only, sole writer)      └─▶ …

Three loops run as long as the session exists. The stream reports what changed, or that
something did. A snapshot has all values, and corrects whatever the stream missed. The
deliveries receive every new generation. `core.session_values` decides what an event or a
snapshot does to the values, `core.snapshot_schedule` when a snapshot is due.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial

import anyio
import structlog
from anyio.lowlevel import checkpoint

from rensei_daemon.clock import CLOCK
from rensei_daemon.conditions.sessions import SessionFailures
from rensei_daemon.core.credential import Credentials
from rensei_daemon.core.health import SessionHealth, StreamHealth
from rensei_daemon.core.retry_policy import EARLY_SECONDS, requested_wait
from rensei_daemon.core.session import Session
from rensei_daemon.core.session_values import SessionValues, StreamUpdate
from rensei_daemon.core.snapshot_schedule import (
    WHY,
    RequestedSnapshot,
    SnapshotReason,
)
from rensei_daemon.delivery.delivery_protocol import Delivery
from rensei_daemon.errors import PlatformError
from rensei_daemon.fast_dataclass import replace
from rensei_daemon.platform_api.stream import UnusableEvent
from rensei_daemon.platform_api.wire import Snapshot
from rensei_daemon.tasks.session_deliveries import SessionDeliveries
from rensei_daemon.tasks.snapshots import SessionContext, SnapshotLoop
from rensei_daemon.tasks.streams import StreamLoop
from rensei_daemon.tasks.value_changes import ValueChanges
from rensei_daemon.wake_event import Cycle

REGISTERED_AT_ONCE = 250
"""Values, in one turn of the loop."""


class Rotation:
    """One session, from the platform to its deliveries."""

    def __init__(
        self,
        session: Session,
        deliveries: Sequence[Delivery],
        context: SessionContext,
        *,
        register_secrets: Callable[[Iterable[str]], None] = lambda _: None,
    ) -> None:
        """`register_secrets` is called with the values in force, to redact them in logs."""
        board, id_ = context.board, session.id
        self.session = session
        self.session_deliveries = SessionDeliveries(
            deliveries, id_, board, context.draw, context.turns, context.counters
        )
        self._board, self._deadlines = board, context.deadlines
        self._register_secrets, self._deferred = register_secrets, context.deferred
        self._log = structlog.get_logger().bind(session_id=id_)
        self.changes = ValueChanges(id_)
        self._values = SessionValues()
        now = CLOCK.now()
        self._line = SessionHealth(id=id_, since=now, added_at=now)
        self._shown_wanted: RequestedSnapshot | None = None
        steady_seconds = context.pace.steady_seconds
        self._failures = SessionFailures(id_, board, calm_seconds=steady_seconds)
        self._snapshots = SnapshotLoop(
            session,
            context,
            on_request=self._values.snapshot_requested,
            on_snapshot=self._take_snapshot,
            on_failure=self._snapshot_failed,
        )
        self._stream = StreamLoop(
            id_,
            self._snapshots,
            self._failures,
            context,
            on_event=self._take_event,
            on_change=self._stream_changed,
        )

    @property
    def credentials(self) -> Credentials:
        """The newest generation."""
        return self._values.credentials

    @property
    def version(self) -> int | None:
        """The platform's version of the newest generation; None if it names none."""
        return self._values.version

    @property
    def refreshed_at(self) -> datetime | None:
        """When a snapshot was last applied."""
        return self._line.refreshed_at

    @property
    def snapshot_cycle(self) -> Cycle:
        """One iteration is one snapshot, whether it succeeds or fails."""
        return self._snapshots.cycle

    @property
    def snapshot_error(self) -> PlatformError | None:
        """The error of the last snapshot; None if it succeeded."""
        return self._snapshots.error

    async def run(self) -> None:
        """Run the three loops until cancelled."""
        id_, note_later = self.session.id, partial(self._deferred.run_soon, self._account)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._snapshots.run, name=f"snapshots of {id_}")
            tasks.start_soon(self._stream.run, name=f"stream of {id_}")
            # Not a task of its own: each takes some kilobytes, in every session.
            await self.session_deliveries.run(note_later)

    async def withdraw(
        self, kept: Collection[tuple[str, str]] = (), *, is_over: bool = True
    ) -> None:
        """Remove what was delivered, except by deliveries that are continued.

        `is_over`: the session has no successor.
        """
        self._deferred.cancel(self._account)
        self.changes.note()
        if is_over:
            self._deadlines.remove(f"snapshots of {self.session.id}")
            self._register_secrets(())
        await self.session_deliveries.withdraw(kept)

    def request_snapshot(self, reason: SnapshotReason) -> None:
        """Request a snapshot; the reason decides how soon it is taken."""
        self._snapshots.request(reason)
        self._deferred.run_soon(self._account)

    def refresh(self) -> None:
        """Show the consumers as they are now: readers may have read meanwhile."""
        self._post()

    def retry_now(self) -> None:
        """Retry snapshot and stream at once, whatever they wait for."""
        self.request_snapshot(SnapshotReason.ASKED)
        self._stream.retry_now()

    def platform_recovered(self) -> None:
        """Retry a failed snapshot at once, unless the platform asked for a wait.

        The stream is opened after the snapshot has succeeded.
        """
        error = self.snapshot_error
        if error is not None and not requested_wait(error, rest_seconds=0.0):
            self._snapshots.request(SnapshotReason.ASKED)

    # -- snapshots --

    async def _take_snapshot(self, snapshot: Snapshot) -> None:
        await self._register(snapshot)
        self._apply(snapshot)

    async def _register(self, snapshot: Snapshot) -> None:
        """Register new values for redaction, a few at a time.

        All 5,000 that a session may have would take up to 0.2 s of one turn of the loop.
        """
        arriving = tuple(snapshot.env.values())
        for end in range(REGISTERED_AT_ONCE, len(arriving), REGISTERED_AT_ONCE):
            self._register_secrets([*self.credentials.env.values(), *arriving[:end]])
            await checkpoint()

    def _apply(self, snapshot: Snapshot) -> None:
        """Apply a snapshot, deliver what it changed, and update the schedule."""
        if self._line.snapshot_failure is not None:
            self._stream.platform_answers()
        self._failures.snapshot_came()
        before, now = self.credentials, anyio.current_time()
        wanted = self._values.take_snapshot(
            snapshot.env,
            snapshot.answered_at,
            now,
            dropped=snapshot.dropped,
            version=snapshot.version,
        )
        self._hand_on(before, "snapshot", now)
        is_news = self.credentials is not before
        self._snapshots.schedule.succeed(now, snapshot.refresh_in_seconds, is_news=is_news)
        if is_news:
            self._stream.has_missed()
        if wanted is not None:
            self._snapshots.request(wanted)
        self._note_fresh(snapshot, len(before.env))

    def _note_fresh(self, snapshot: Snapshot, names_before: int) -> None:
        now, until = CLOCK.now(), None
        if snapshot.refresh_until is not None:
            # By `CLOCK`: with a wrong wall clock, fresh data must not look old.
            seconds = snapshot.refresh_in_seconds + EARLY_SECONDS
            until = now + timedelta(seconds=seconds)
        lost = self._values.lost_names
        if lost:
            self._log.warning("snapshot.lost_names", lost=lost, before=names_before)
        self._line = replace(
            self._line,
            snapshot_failure=None,
            refreshed_at=now,
            refresh_until=until,
            lost_names=lost,
            lost_names_at=now if lost else None,
        )
        self._post()

    def _snapshot_failed(self, error: PlatformError) -> None:
        self._values.snapshot_failed()
        self._failures.snapshot_failed(error)
        self._line = replace(self._line, snapshot_failure=error.failure)
        self._post()

    # -- the stream --

    def _take_event(self, event: StreamUpdate | UnusableEvent, arrived_at: float) -> None:
        if isinstance(event, UnusableEvent):
            self._failures.event_not_understood(event.reason)
            self.request_snapshot(SnapshotReason.EVENT)
            return
        before = self.credentials
        wanted = self._values.take_update(event, arrived_at)
        if wanted is not None:
            self.request_snapshot(wanted)
        self._hand_on(before, "stream", arrived_at)

    def _stream_changed(self, line: StreamHealth) -> None:
        self._line = replace(
            self._line,
            stream=line.state,
            since=line.since,
            stream_failure=line.failure,
            stream_ended_at=line.ended_at,
            stream_lived_seconds=line.lived_seconds,
        )
        self._post()

    # -- results of both --

    def _hand_on(self, before: Credentials, source: str, arrived_at: float) -> None:
        newest = self.credentials
        if newest is not before:
            self._register_secrets(newest.env.values())
            self.session_deliveries.offer(newest, arrived_at)
            self.changes.add(before, newest, source)
        self._deferred.run_soon(self._account)

    def _account(self) -> None:
        """Log what has changed, and show values and deliveries on the board."""
        self.changes.note()
        self._post()
        self.session_deliveries.report()

    def _post(self) -> None:
        wanted = self._snapshots.schedule.requested
        if wanted is not self._shown_wanted:
            self._shown_wanted = wanted
            self._line = self._with_wanted(wanted)
        self._line = replace(
            self._line,
            generation=self.credentials.generation,
            version=self._values.version,
            names=tuple(sorted(self.credentials.env)),
            dropped_names=self._values.dropped_names,
            consumers=self.session_deliveries.consumers,
        )
        self._board.post(self._line)

    def _with_wanted(self, wanted: RequestedSnapshot | None) -> SessionHealth:
        if wanted is None:
            return replace(self._line, wanted_for=None, wanted_since=None)
        ago = timedelta(seconds=anyio.current_time() - wanted.since)
        since = CLOCK.now() - ago
        return replace(self._line, wanted_for=WHY[wanted.reason], wanted_since=since)
