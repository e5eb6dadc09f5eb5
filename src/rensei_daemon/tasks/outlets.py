"""A session's deliveries: each carries the newest generation, at its own pace.

What was overtaken is never delivered; what failed is tried again. A delivery that comes
after another (the hook after the env file) is offered a generation once the other has it.
"""

from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime

import anyio
import structlog

from rensei_daemon.core.backoff import Backoff, Draw
from rensei_daemon.core.board import Board
from rensei_daemon.core.conditions import Code
from rensei_daemon.core.credential import Credentials, difference
from rensei_daemon.core.figures import SessionFigures
from rensei_daemon.core.lines import ConsumerLine
from rensei_daemon.core.repeats import Streak
from rensei_daemon.delivery.consumer import Delivery, nobody
from rensei_daemon.errors import DeliveryError
from rensei_daemon.tasks.bell import Bell

RETRY = Backoff(base_seconds=1.0, cap_seconds=60.0)
LOOK_SECONDS = 20.0
"""How often lagging consumers are looked for; they are told of after 60."""


class Outlets:
    """All deliveries of one session."""

    def __init__(
        self,
        deliveries: Sequence[Delivery],
        session_id: str,
        board: Board,
        draw: Draw,
        figures: SessionFigures | None = None,
    ) -> None:
        figures = figures or SessionFigures()
        self._lanes = {d: _Lane(d, session_id, board, draw, figures) for d in deliveries}
        for delivery, lane in self._lanes.items():
            if delivery.after is not None:
                self._lanes[delivery.after].followers.append(lane)

    @property
    def names(self) -> Collection[tuple[str, str]]:
        """Every delivery as (kind, name)."""
        return {(delivery.kind, delivery.name) for delivery in self._lanes}

    @property
    def consumers(self) -> tuple[ConsumerLine, ...]:
        """Everybody who is handed to."""
        return tuple(line for delivery in self._lanes for line in delivery.consumers)

    def offer(self, credentials: Credentials, arrived_at: float | None = None) -> None:
        """Have a new generation delivered; its values came at that time of the loop's."""
        arrived_at = anyio.current_time() if arrived_at is None else arrived_at
        for delivery, lane in self._lanes.items():
            if delivery.after is None:
                lane.offer(credentials, arrived_at)

    async def keep(self, on_uptake: Callable[[], None]) -> None:
        """Deliver until cancelled; `on_uptake` is called whenever `consumers` changed."""
        try:
            async with anyio.create_task_group() as lanes:
                for delivery, lane in self._lanes.items():
                    delivery.on_uptake = on_uptake
                    lanes.start_soon(lane.keep, name=f"{delivery.kind} {delivery.name}")
                while True:
                    await anyio.sleep(LOOK_SECONDS)
                    self.tell()
        finally:
            for delivery in self._lanes:  # it may outlive us, as a reader does a reload
                delivery.on_uptake = nobody

    def tell(self) -> None:
        """Log what has been delivered, and say on the board what lags behind."""
        now = datetime.now(UTC)
        for lane in self._lanes.values():
            lane.tell(now)

    async def withdraw(self, kept: Collection[tuple[str, str]]) -> None:
        """Take back what was delivered, except by deliveries that somebody carries on."""
        for delivery in self._lanes:
            if (delivery.kind, delivery.name) not in kept:
                await self._lanes[delivery].withdraw()


class _Lane:
    """One delivery under way."""

    def __init__(
        self,
        delivery: Delivery,
        session_id: str,
        board: Board,
        draw: Draw,
        figures: SessionFigures,
    ) -> None:
        self.followers: list[_Lane] = []
        self._figures = figures
        self._delivery = delivery
        self._session_id = session_id
        self._subject = f"{session_id}:{delivery.kind}"
        self._board = board
        self._draw = draw
        self._offered = Bell()
        self._newest = self._delivered = Credentials()
        self._behind_since: datetime | None = None
        self._arrived_at: float | None = None
        """When the oldest values came that have not been delivered."""
        self._told_generation = 0
        self._is_idle = False
        """Whether nothing is under way, due, or waiting for another try."""
        self._failures = 0
        """Since the newest generation was offered; decides how long to wait."""
        self._streak = Streak()
        self._retry = RETRY
        self._log = structlog.get_logger().bind(
            session_id=session_id, kind=delivery.kind, to=delivery.name
        )

    def offer(self, credentials: Credentials, arrived_at: float) -> None:
        """Have a generation delivered in place of whatever was to be."""
        self._newest = credentials
        if self._arrived_at is None:
            self._arrived_at = arrived_at
        if self._is_idle:
            is_news = self._delivery.deliver_at_once(credentials)
            if is_news is not None:
                self._note_taken(credentials, is_news)
                return
        self._is_idle = False
        self._behind_since = self._behind_since or datetime.now(UTC)
        self._offered.ring()

    def tell(self, now: datetime) -> None:
        """Do so for this delivery."""
        generation = self._delivered.generation
        if generation != self._told_generation:
            self._told_generation = generation
            self._log.debug("credentials.delivered", generation=generation)
        since = self._behind_since
        is_failed = (Code.DELIVERY_FAILED, self._subject) in self._board.alarms
        if since is None or is_failed:  # a failure says more
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
        """Take back what was delivered; where that fails, the log says so."""
        try:
            await self._delivery.withdraw()
        except DeliveryError as error:
            self._log.error("delivery.not_withdrawn", error=str(error), hint=error.hint)

    async def keep(self) -> None:
        """Deliver what is offered, and try again what failed; never returns."""
        wait: float | None = None
        while True:
            self._is_idle = not self._failures
            if await self._offered.heard(within=wait):
                self._failures = 0
            self._is_idle = False
            newest = self._newest
            try:
                change = difference(self._delivered, newest)
                is_news = await self._delivery.deliver(newest, change)
            except DeliveryError as error:
                self._failures += 1
                wait = self._next_wait()
                if wait is None:
                    self._arrived_at = None  # given up: what comes next is another tale
                self._note_failure(error, wait)
            else:
                self._failures, self._retry, wait = 0, RETRY, None
                self._note_taken(newest, is_news)

    def _note_taken(self, newest: Credentials, is_news: bool) -> None:
        self._delivered = newest
        now = anyio.current_time()
        arrived_at = now if self._arrived_at is None else self._arrived_at
        self._figures.delivered(self._session_id, self._delivery.kind, now - arrived_at)
        if newest is self._newest:
            self._behind_since = self._arrived_at = None
        self._board.clear(Code.DELIVERY_FAILED, self._subject)
        if over := self._streak.recover(now):
            self._log.info("delivery.recovered", count=over.count, seconds=over.seconds)
        if is_news:
            for follower in self.followers:
                follower.offer(newest, arrived_at)

    def _next_wait(self) -> float | None:
        """Return the seconds until the next try; None when there is to be none."""
        retries = self._delivery.retries
        if retries is None:
            wait, self._retry = self._retry.next(self._draw)
            return wait
        return retries[self._failures - 1] if self._failures <= len(retries) else None

    def _note_failure(self, error: DeliveryError, wait: float | None) -> None:
        self._figures.deliveries.add(self._session_id, self._delivery.kind, "failed")
        is_told = self._streak.fail(anyio.current_time(), str(error))
        log = self._log.warning if is_told else self._log.debug
        log(
            "delivery.failed",
            error=str(error),
            hint=error.hint,
            retry_in_seconds=wait,
            count=self._streak.count,
        )
        if wait is not None and self._delivery.retries is not None:
            return  # a few more tries before anybody is told
        self._board.raise_alarm(
            Code.DELIVERY_FAILED,
            f"session {self._session_id}: {error}",
            hint=error.hint,
            now=datetime.now(UTC),
            subject=self._subject,
        )
