"""The heartbeat: reports this host to the platform and receives its mutations.

The platform sets the interval, the journal has the acks, and the configuration in force
has the report. Delivered mutations go to the inbox. The first heartbeat is sent at once,
another whenever there is an outcome to send, and failures are retried without end.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import anyio
import anyio.to_thread
import structlog

from rensei_daemon.clock import CLOCK
from rensei_daemon.conditions import host as host_conditions
from rensei_daemon.core.board import Board
from rensei_daemon.core.conditions import Code
from rensei_daemon.core.counters import HeartbeatCounters
from rensei_daemon.core.extensions import MUTATIONS_EVENT, UPTAKE, Extensions
from rensei_daemon.core.heartbeat import Acks, Beat, BeatAnswer
from rensei_daemon.core.heartbeat_pace import HeartbeatPace
from rensei_daemon.core.host_status import HostStatus
from rensei_daemon.core.liveness import Deadlines
from rensei_daemon.core.mutation import Op
from rensei_daemon.core.uptake import SessionUptake, uptake_of
from rensei_daemon.disk.host_info import LoadMeter, load_average
from rensei_daemon.disk.journal import Journal
from rensei_daemon.errors import (
    Failure,
    PlatformError,
    RefusedError,
    StorageError,
    TransientError,
    UnauthorizedError,
)
from rensei_daemon.failure_reporter import FailureReporter
from rensei_daemon.fast_dataclass import dataclass, field, replace
from rensei_daemon.mutation_inbox import MutationInbox
from rensei_daemon.platform_api.client import PlatformClient
from rensei_daemon.platform_api.identity import Identity
from rensei_daemon.settings.configuration import Configuration
from rensei_daemon.wake_event import Cycle, WakeEvent

BEAT_SECONDS = 180.0
"""The longest time that a heartbeat and its token refresh can take; for the watchdog."""

_log = structlog.get_logger()


@dataclass
class HeartbeatSender:
    """What heartbeats need, and what the last one left."""

    client: PlatformClient
    identity: Identity
    journal: Journal
    configuration: Configuration
    board: Board
    inbox: MutationInbox
    meter: LoadMeter
    deadlines: Deadlines
    pace: HeartbeatPace
    status: str = "idle"
    reported: tuple[str, str] | None = None
    """(worker id, hash) of the last report that was acknowledged; None before the first."""
    host_status: HostStatus | None = None
    cycle: Cycle = field(default_factory=Cycle)
    """One iteration is one heartbeat, whether it succeeds or fails."""
    counters: HeartbeatCounters = field(default_factory=HeartbeatCounters)
    failures: FailureReporter = field(init=False)
    without_id: FailureReporter = field(default_factory=FailureReporter)
    """Responses with mutations that have no id to acknowledge."""
    platform_ahead: timedelta | None = None
    """How far the platform's clock is ahead of `CLOCK`; None if unknown."""
    extensions: Extensions = field(default_factory=Extensions)
    """What the platform has offered for the next heartbeat."""
    uptake_reported: tuple[str, tuple[SessionUptake, ...]] | None = None
    """(worker id, report) that was acknowledged last; None before the first."""
    refresh_sessions: Callable[[], None] = lambda: None
    """Has the board show the sessions as they are now."""
    uptake_changed: WakeEvent = field(default_factory=WakeEvent)
    """Set when there may be a new report."""
    on_offer: Callable[[str | None], None] = lambda _: None
    """Called with each answer: the worker that was offered the event of mutations."""
    on_recovery: Callable[[], None] = lambda: None
    """Called after the first heartbeat that succeeds after a failure."""

    def __post_init__(self) -> None:
        """Create the reporter of failed heartbeats."""
        self.failures = FailureReporter(board=self.board, subject="heartbeat")

    @property
    def interval_seconds(self) -> float:
        """The interval in force: the platform's, within its limits, or the file's."""
        worker = self.identity.worker
        named = worker.heartbeat_seconds if worker else None
        return self.configuration.settings.interval_seconds(named)

    async def beat(self) -> None:
        """Send one heartbeat and handle its response.

        Raise `PlatformError` or `StorageError`.
        """
        acks, owes_pool = await anyio.to_thread.run_sync(self._owed)
        beat = self._beat(acks)
        self.extensions = Extensions()  # of a failed heartbeat, too
        answer = await self.client.heartbeat(beat)
        self.extensions = answer.extensions
        has_event = self.extensions.offers(MUTATIONS_EVENT, self.client.url)
        self.on_offer(answer.worker_id or None if has_event else None)
        if answer.answered_at is not None:
            self.platform_ahead = answer.answered_at - CLOCK.now()
        await self._take(answer, pool_may_be_restored=not owes_pool)
        if not answer.is_acknowledged:
            raise TransientError("the platform did not acknowledge the heartbeat")
        self._note_reported(beat, answer)
        if answer.carried_acks:
            await self._confirm(acks)

    def _beat(self, acks: Acks) -> Beat:
        report = self.configuration.report
        return Beat(
            status=self.status,
            active_count=0,
            max_sessions=self.configuration.settings.machine.max_sessions,
            load=self.meter.read(),
            load_average=load_average(),
            report=report,
            report_in_full=self.reported != (self.identity.worker_id, report.hash),
            acks=acks,
            uptake=self.owed_uptake(),
        )

    def _note_reported(self, beat: Beat, answer: BeatAnswer) -> None:
        """Remember what need not be reported again: the platform has acknowledged it."""
        known = self.reported[0] if self.reported else None
        if beat.report_in_full or answer.worker_id == self.identity.worker_id == known:
            # Only now: a report that did not arrive must be sent in full again, and so
            # must the first one of a new worker.
            self.reported = (answer.worker_id, beat.report.hash)
        if not self.extensions.offers(UPTAKE, self.client.url):
            self.uptake_reported = None  # the next to offer it knows nothing
        elif answer.carried_uptake and beat.uptake is not None:
            self.uptake_reported = (answer.worker_id, beat.uptake)
        if self.owed_uptake() is not None:
            self.uptake_changed.set()

    def owed_uptake(self) -> tuple[SessionUptake, ...] | None:
        """Return what each session holds; None if it is not offered, or was reported."""
        if not self.extensions.offers(UPTAKE, self.client.url):
            return None
        self.refresh_sessions()
        report = uptake_of(self.board.sessions.values())
        is_known = self.uptake_reported == (self.identity.worker_id, report)
        return None if is_known else report

    def _owed(self) -> tuple[Acks, bool]:
        """Return the acks to send, and whether pool.deleted is one of them."""
        if not self.journal.is_open:
            return Acks(), True
        return self.journal.unconfirmed(), self.journal.has_unfinished(Op.POOL_DELETED)

    async def _confirm(self, acks: Acks) -> None:
        if acks.ids:
            now = datetime.now(UTC)
            await anyio.to_thread.run_sync(self.journal.confirm, acks.ids, now)
            self.board.post(await anyio.to_thread.run_sync(self.journal.records.health))
            _log.info("outcomes.acked", applied=acks.applied, failed=len(acks.failures))

    async def _take(self, answer: BeatAnswer, *, pool_may_be_restored: bool) -> None:
        """Handle a response: first the mutations, which may not be delivered again."""
        is_ok = answer.host_status is not None and answer.host_status.is_ok
        has_pool = self.configuration.settings.pool is not None
        await self.inbox.put(
            answer.pending,
            pool_is_ok=is_ok
            and has_pool
            and pool_may_be_restored
            and answer.is_acknowledged,
        )
        if answer.host_status is not None and answer.host_status != self.host_status:
            self.host_status = answer.host_status
            _log.info(
                "host.status_changed",
                status=answer.host_status.status,
                action=answer.host_status.recommended_action,
            )
        self._log_skipped(answer.skipped)
        self.post_pool()
        host_conditions.post_objection(self.board, self.host_status)

    def _log_skipped(self, skipped: int) -> None:
        if skipped:
            self.without_id.report_failure("mutations.without_id", skipped=skipped)
        else:
            self.without_id.report_recovery()

    def keep_pool_posted(self) -> None:
        """Show the state of the pool now, and after each change of the file."""
        self.configuration.on_change(self.post_pool)
        self.post_pool()  # the platform may be out of reach for long

    def post_pool(self) -> None:
        """Show the state of the pool: the file's, else the platform's."""
        pool = self.configuration.settings.pool
        host_conditions.post_pool(self.board, pool, self.host_status)


async def send_heartbeats(heartbeat: HeartbeatSender, *, wake_heartbeat: WakeEvent) -> None:
    """Send heartbeats until cancelled.

    `wake_heartbeat` requests the next one now, but at most one a second is sent.
    """
    heartbeat.keep_pool_posted()
    pace = heartbeat.pace
    while True:
        started = anyio.current_time()
        heartbeat.cycle.begin()
        try:
            await heartbeat.beat()
        except (PlatformError, StorageError) as error:
            heartbeat.counters.outcomes.increment(error.failure)
            _note_failure(heartbeat, error)
            due = _due_after(error, heartbeat)
        else:
            now = anyio.current_time()
            heartbeat.counters.outcomes.increment("ok")
            heartbeat.counters.durations.observe(now - started)
            _note_success(heartbeat)
            if pace.failures:
                heartbeat.on_recovery()
            due = pace.succeeded(now, heartbeat.interval_seconds)
        heartbeat.cycle.end()
        heartbeat.deadlines.set("heartbeat", due + BEAT_SECONDS)
        await wake_heartbeat.wait(within=due - anyio.current_time())
        soonest = started + min(1.0, heartbeat.interval_seconds)
        await anyio.sleep(max(0.0, soonest - anyio.current_time()))


def _due_after(error: PlatformError | StorageError, heartbeat: HeartbeatSender) -> float:
    pace = heartbeat.pace
    now, interval = anyio.current_time(), heartbeat.interval_seconds
    if isinstance(error, TransientError):
        return pace.failed(now, interval, error.retry_after)
    if heartbeat.identity.worker is None:
        return pace.failed(now, interval)
    return pace.refused(now, interval)  # the platform answers


async def send_last_heartbeat(heartbeat: HeartbeatSender) -> None:
    """Send the last heartbeat: this host is draining. The caller sets a timeout."""
    heartbeat.status = "draining"
    try:
        await heartbeat.beat()
    except (PlatformError, StorageError) as error:
        _log.warning("farewell.failed", error=str(error))


def _note_success(heartbeat: HeartbeatSender) -> None:
    board = heartbeat.board
    heartbeat.failures.report_recovery("heartbeat.recovered")
    host_conditions.post_duplicate(board, is_contested=heartbeat.identity.is_contested)
    worker = heartbeat.identity.worker
    if worker is not None:
        host_id = worker.host_id or None
        board.post(replace(board.worker, worker_id=worker.id, worker_host_id=host_id))
    board.post(
        replace(
            board.heartbeat,
            interval_seconds=heartbeat.interval_seconds,
            last_ok_at=CLOCK.now(),
            consecutive_failures=0,
            last_error=None,
            last_failure=None,
        )
    )


def _note_failure(heartbeat: HeartbeatSender, error: PlatformError | StorageError) -> None:
    heartbeat.on_offer(None)
    board, alarm = heartbeat.board, _alarm_for(error)
    if isinstance(error, UnauthorizedError | RefusedError):
        # The platform answers: its earlier refusals are no longer true.
        heartbeat.failures.clear_alarms(*_REFUSALS, but=alarm)
    elif error.failure in (Failure.UNAVAILABLE, Failure.NONSENSE):
        heartbeat.failures.clear_alarms(Code.TLS_REFUSED)  # there is an answer
    heartbeat.failures.report_error("heartbeat.failed", error, alarm=alarm)
    board.post(
        replace(
            board.heartbeat,
            interval_seconds=heartbeat.interval_seconds,
            consecutive_failures=board.heartbeat.consecutive_failures + 1,
            last_error=str(error),
            last_failure=error.failure,
        )
    )


_REFUSALS = (Code.UNAUTHORIZED, Code.FORBIDDEN, Code.TLS_REFUSED)


def _alarm_for(error: PlatformError | StorageError) -> Code | None:
    match error:
        case UnauthorizedError():
            return Code.UNAUTHORIZED
        case RefusedError(status=403):
            return Code.FORBIDDEN
        case TransientError(failure=Failure.TLS_REFUSED):
            return Code.TLS_REFUSED
        case StorageError():
            return Code.STORAGE
        case TransientError(failure=Failure.OVERSIZED):
            return Code.ANSWER_OVERSIZED
        case _:
            return None
