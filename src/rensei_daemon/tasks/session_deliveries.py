"""A session's deliveries: each delivers the newest generation at its own pace.

A generation that a newer one replaced is not delivered; a failure is retried. A delivery
that depends on another (the hook on the env file) gets a generation after the other has it.
"""

from collections.abc import Callable, Collection, Sequence

import anyio

from rensei_daemon.clock import CLOCK
from rensei_daemon.core.backoff import Draw
from rensei_daemon.core.board import Board
from rensei_daemon.core.counters import SessionCounters
from rensei_daemon.core.credential import Credentials
from rensei_daemon.core.health import ConsumerHealth
from rensei_daemon.delivery.delivery_protocol import Delivery, ignore_uptake
from rensei_daemon.delivery.hook import Hook
from rensei_daemon.delivery.turns import Turns
from rensei_daemon.tasks.delivery_worker import DeliveryWorker

LOOK_SECONDS = 15.0
"""How often deliveries are checked for alterations and for lag."""
CHECK_SECONDS = 5.0
"""How long a check may take: a file system may hang."""


class SessionDeliveries:
    """All deliveries of one session."""

    def __init__(
        self,
        deliveries: Sequence[Delivery],
        session_id: str,
        board: Board,
        draw: Draw,
        turns: Turns,
        counters: SessionCounters | None = None,
    ) -> None:
        counters = counters or SessionCounters()
        self._session_id = session_id
        self._workers = {
            d: DeliveryWorker(d, session_id, board, draw, turns, counters)
            for d in deliveries
        }
        for delivery, worker in self._workers.items():
            if delivery.after is not None:
                self._workers[delivery.after].followers.append(worker)

    @property
    def names(self) -> Collection[tuple[str, str]]:
        """Every delivery as (kind, name), by which a successor continues it."""
        return set(map(self._name_of, self._workers))

    def _name_of(self, delivery: Delivery) -> tuple[str, str]:
        if delivery.kind != Hook.kind:
            return delivery.kind, delivery.name  # a file may move to another session
        # A program may be that of several sessions, and of several files of each.
        after = "" if delivery.after is None else delivery.after.name
        return delivery.kind, f"{self._session_id}: {delivery.name} for {after}"

    @property
    def consumers(self) -> tuple[ConsumerHealth, ...]:
        """The health of every consumer."""
        return tuple(line for worker in self._workers.values() for line in worker.consumers)

    def offer(self, credentials: Credentials, arrived_at: float | None = None) -> None:
        """Deliver a new generation; `arrived_at` is event-loop time, now by default."""
        arrived_at = anyio.current_time() if arrived_at is None else arrived_at
        for delivery, worker in self._workers.items():
            if delivery.after is None:
                worker.offer(credentials, arrived_at)

    async def run(self, on_uptake: Callable[[], None]) -> None:
        """Deliver until cancelled; `on_uptake` is called whenever `consumers` changed."""
        try:
            async with anyio.create_task_group() as workers:
                for delivery, worker in self._workers.items():
                    delivery.on_uptake = on_uptake
                    worker.start(workers)
                while True:
                    await anyio.sleep(LOOK_SECONDS)
                    self.report()
                    await self.check()
        finally:
            for delivery, worker in self._workers.items():
                delivery.on_uptake = ignore_uptake  # it may outlive this object
                worker.stop()

    async def check(self, *, until_tried: bool = False) -> None:
        """Restore what somebody removed or altered; the board shows it until then.

        `until_tried`: return after the first attempt.
        """
        with anyio.move_on_after(CHECK_SECONDS):
            async with anyio.create_task_group() as checks:
                for worker in self._workers.values():
                    checks.start_soon(worker.check, until_tried)

    def report(self) -> None:
        """Log what was delivered, and show on the board what lags behind."""
        now = CLOCK.now()
        for worker in self._workers.values():
            worker.report(now)

    async def withdraw(self, kept: Collection[tuple[str, str]]) -> None:
        """Remove what was delivered, except by deliveries that are continued."""
        for delivery in self._workers:
            if self._name_of(delivery) not in kept:
                await self._workers[delivery].withdraw()
