"""The work of one delivery: delivers the newest generation and retries failures.

It is a task only while there is something to do: one that waits takes 5 KB, and a session
has three deliveries that do nothing for most of a day.
"""

from datetime import datetime, timedelta

import anyio
import structlog
from anyio.abc import TaskGroup

from rensei_daemon.clock import CLOCK
from rensei_daemon.core.backoff import Backoff, Draw
from rensei_daemon.core.board import Board
from rensei_daemon.core.conditions import Code
from rensei_daemon.core.counters import SessionCounters
from rensei_daemon.core.credential import Credentials, difference
from rensei_daemon.core.health import ConsumerHealth
from rensei_daemon.delivery.delivery_protocol import Delivery
from rensei_daemon.delivery.turns import Turns
from rensei_daemon.errors import DeliveryError
from rensei_daemon.failure_reporter import FailureReporter
from rensei_daemon.fast_dataclass import replace
from rensei_daemon.wake_event import Cycle, WakeEvent

CALM_SECONDS = 600.0
"""After this time without an alteration, the next one is logged as the first."""
RETRY = Backoff(base_seconds=1.0, cap_seconds=60.0)


class DeliveryWorker:
    """Runs one delivery of a session."""

    def __init__(
        self,
        delivery: Delivery,
        session_id: str,
        board: Board,
        draw: Draw,
        turns: Turns,
        counters: SessionCounters,
    ) -> None:
        self.followers: list[DeliveryWorker] = []
        self._counters = counters
        self._delivery = delivery
        self._session_id = session_id
        self._subject = f"{session_id}:{delivery.kind}:{delivery.name}"
        self._board = board
        self._draw = draw
        self._turns = turns
        self._offered = WakeEvent()
        self._tasks: TaskGroup | None = None
        self._is_working = False
        """Whether there is a task."""
        self._newest = self._delivered = Credentials()
        self._behind_since: datetime | None = None
        self._arrived_at: float | None = None
        """When the oldest values that are not delivered yet arrived."""
        self._waits_until: datetime | None = None
        """When the random wait ends that is under way."""
        self._logged_generation = 0
        self._is_idle = False
        """Whether nothing is in progress, due, or waiting for a retry."""
        self._failures = 0
        """Failures since the newest generation was offered; they set the next wait."""
        self._is_checking = False
        self._cycle = Cycle()
        """One iteration is one attempt to deliver."""
        self._retry = RETRY
        self._log = structlog.get_logger().bind(
            session_id=session_id, kind=delivery.kind, to=delivery.name
        )
        self._reporter = FailureReporter(self._log, board=board, subject=self._subject)
        self._alterations = FailureReporter(self._log, calm_seconds=CALM_SECONDS)

    @property
    def consumers(self) -> tuple[ConsumerHealth, ...]:
        """The consumers of the delivery, and whether they wait on purpose."""
        lines = self._delivery.consumers
        if self._waits_until is None:
            return lines
        return tuple(replace(line, waits_until=self._waits_until) for line in lines)

    def offer(self, credentials: Credentials, arrived_at: float) -> None:
        """Deliver a generation instead of any that is still waiting."""
        self._newest = credentials
        if self._arrived_at is None:
            self._arrived_at = arrived_at
        if not self._is_idle:
            self._begin()
        elif self._delivery.takes_turns:
            self._behind_since = self._behind_since or CLOCK.now()
            self._turns.request(self._take_turn)
        else:
            self._deliver_at_once()

    def _take_turn(self) -> None:
        """Deliver the newest generation, unless a task has begun to, after a check."""
        if self._is_idle and self._newest is not self._delivered:
            self._deliver_at_once()

    def _deliver_at_once(self) -> None:
        """Deliver the newest generation now, or by a task if that needs waiting."""
        is_news = self._delivery.deliver_at_once(self._newest)
        if is_news is None:
            self._begin()
        else:
            self._note_delivered(self._newest, is_news)

    def _begin(self) -> None:
        """Deliver the newest generation by a task."""
        self._is_idle = False
        self._behind_since = self._behind_since or CLOCK.now()
        self._offered.set()
        self._work_on()

    def has(self, credentials: Credentials) -> bool:
        """Whether this generation was the last that was delivered."""
        return self._delivered.generation == credentials.generation

    def confirm(self, credentials: Credentials) -> None:
        """Note that the consumers have had these values since before a restart."""
        self._newest = self._delivered = credentials
        self._delivery.confirm(credentials)

    async def check(self, until_tried: bool) -> None:
        """Restore what was removed or altered, unless a delivery is in progress."""
        delivered = self._delivered
        if self._is_checking or not self._is_settled_on(delivered):
            return
        self._is_checking = True
        try:
            what = await self._delivery.check(delivered)
        finally:
            self._is_checking = False
        if what and self._is_settled_on(delivered):
            self._note_altered(what)
            self._begin()
            if until_tried:
                await self._cycle.wait_next()

    def _is_settled_on(self, delivered: Credentials) -> bool:
        """Whether these values are delivered, and nothing is in progress.

        Not after `stop`: what was delivered is withdrawn then.
        """
        is_newest = self._is_idle and self._delivered is delivered
        return self._tasks is not None and is_newest and bool(delivered.generation)

    def _note_altered(self, what: str) -> None:
        name = self._delivery.name
        self._alterations.report_event("delivery.altered", what, what=what)
        self._reporter.raise_alarm(
            Code.DELIVERY_FAILED,
            f"session {self._session_id}: {name} {what}; it is being put right",
            hint="the daemon alone writes there; see what else does: "
            "rensei-daemon logs --event delivery.altered",
        )

    def report(self, now: datetime) -> None:
        """Log what was delivered, and show on the board if it lags behind."""
        generation = self._delivered.generation
        if generation != self._logged_generation:
            self._logged_generation = generation
            self._log.debug("credentials.delivered", generation=generation)
        since = self._behind_since
        is_failed = (Code.DELIVERY_FAILED, self._subject) in self._board.alarms
        is_waiting = self._waits_until is not None
        if since is None or is_waiting or is_failed:  # which is on the board already
            self._board.clear(Code.CONSUMER_LAGGING, self._subject)
        elif (now - since).total_seconds() >= 1:
            self._board.raise_alarm(
                Code.CONSUMER_LAGGING,
                f"session {self._session_id}: {self._delivery.kind} "
                f"{self._delivery.name} does not have the newest credentials",
                hint=f"see why: rensei-daemon logs --session {self._session_id}",
                now=since,
                subject=self._subject,
            )

    async def withdraw(self) -> None:
        """Remove what was delivered; log a failure."""
        try:
            await self._delivery.withdraw()
        except DeliveryError as error:
            self._log.error("delivery.not_withdrawn", error=str(error), hint=error.hint)

    def start(self, tasks: TaskGroup) -> None:
        """Deliver what was offered, and what is offered until `stop`, in these tasks."""
        self._tasks = tasks
        self._work_on()

    def stop(self) -> None:
        """Begin no more work: the tasks have ended."""
        self._turns.cancel(self._take_turn)
        self._tasks, self._is_working = None, False

    def _work_on(self) -> None:
        if self._tasks is not None and not self._is_working:
            self._is_working = True
            name = f"{self._delivery.kind} {self._delivery.name}"
            self._tasks.start_soon(self._work, name=name)

    async def _work(self) -> None:
        """Deliver what is offered, and retry failures, until nothing is left to do."""
        wait: float | None = None
        while True:
            self._is_idle = not (self._failures or self._offered.is_set)
            if wait is None and not self._offered.is_set:
                self._is_working = False
                return
            is_offered = await self._offered.wait(within=wait)
            self._is_idle = False
            if is_offered:
                self._failures = 0
                await self._splay()
            newest = self._newest
            is_repair = newest is self._delivered
            self._cycle.begin()
            try:
                change = difference(self._delivered, newest)
                is_news = await self._delivery.deliver(newest, change)
            except DeliveryError as error:
                self._failures += 1
                wait = self._next_wait()
                if wait is None:
                    self._arrived_at = None  # given up: the next values are timed anew
                self._note_failure(error, wait)
            else:
                self._failures, self._retry, wait = 0, RETRY, None
                self._note_delivered(newest, is_news, is_repair)
            self._cycle.end()

    async def _splay(self) -> None:
        """Wait a random time, so that not all hosts act at once.

        Newer values take the wait over: they neither end it nor begin it again, so there is
        one delivery after it, of the newest, however many rotations there were.
        """
        longest = self._delivery.splay_seconds
        if not longest:
            return
        seconds = self._draw(0.0, longest)
        started = anyio.current_time()
        self._waits_until = CLOCK.now() + timedelta(seconds=seconds)
        self._delivery.on_uptake()
        is_newer = True
        while is_newer:
            left = started + seconds - anyio.current_time()
            is_newer = await self._offered.wait(within=max(left, 0.0))
        self._waits_until = None
        # This wait is no lag, and no time that a delivery takes.
        self._behind_since = CLOCK.now()
        if self._arrived_at is not None:
            self._arrived_at += anyio.current_time() - started

    def _note_delivered(
        self, newest: Credentials, is_news: bool, is_repair: bool = False
    ) -> None:
        before, self._delivered = self._delivered, newest
        now = anyio.current_time()
        arrived_at = now if self._arrived_at is None else self._arrived_at
        self._counters.observe_delivery(
            self._session_id, self._delivery.kind, now - arrived_at
        )
        if newest is self._newest:
            self._behind_since = self._arrived_at = None
        self._reporter.report_recovery("delivery.recovered")
        if is_repair:
            return  # a restored file is no rotation, so no hook runs
        for follower in self.followers:
            # One that has not succeeded with the values before is not done with these.
            if is_news or not follower.has(before):
                follower.offer(newest, arrived_at)
            else:
                follower.confirm(newest)

    def _next_wait(self) -> float | None:
        """Return the seconds until the next attempt; None if there is none."""
        retries = self._delivery.retries
        if retries is None:
            wait, self._retry = self._retry.next(self._draw)
            return wait
        return retries[self._failures - 1] if self._failures <= len(retries) else None

    def _note_failure(self, error: DeliveryError, wait: float | None) -> None:
        self._counters.deliveries.increment(self._session_id, self._delivery.kind, "failed")
        self._reporter.report_error("delivery.failed", error, retry_in_seconds=wait)
        if wait is not None and self._delivery.retries is not None:
            return  # an alarm follows when all attempts have failed
        message = f"session {self._session_id}: {error}"
        self._reporter.raise_alarm(Code.DELIVERY_FAILED, message, hint=error.hint)
