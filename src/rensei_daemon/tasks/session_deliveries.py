"""A session's deliveries: each carries the newest generation, at its own pace.

What was overtaken is never delivered; what failed is tried again. A delivery that comes
after another (the hook after the env file) is offered a generation once the other has it.
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
from rensei_daemon.tasks.delivery_worker import DeliveryWorker

LOOK_SECONDS = 15.0
"""How often it is looked whether what was delivered is in place, and who lags behind."""
CHECK_SECONDS = 5.0
"""How long a look may take: a file may be on a file system that hangs."""


class SessionDeliveries:
    """All deliveries of one session."""

    def __init__(
        self,
        deliveries: Sequence[Delivery],
        session_id: str,
        board: Board,
        draw: Draw,
        counters: SessionCounters | None = None,
    ) -> None:
        counters = counters or SessionCounters()
        self._workers = {
            d: DeliveryWorker(d, session_id, board, draw, counters) for d in deliveries
        }
        for delivery, worker in self._workers.items():
            if delivery.after is not None:
                self._workers[delivery.after].followers.append(worker)

    @property
    def names(self) -> Collection[tuple[str, str]]:
        """Every delivery as (kind, name)."""
        return {(delivery.kind, delivery.name) for delivery in self._workers}

    @property
    def consumers(self) -> tuple[ConsumerHealth, ...]:
        """Everybody who is handed to."""
        return tuple(line for delivery in self._workers for line in delivery.consumers)

    def offer(self, credentials: Credentials, arrived_at: float | None = None) -> None:
        """Have a new generation delivered; its values came at that time of the loop's."""
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
                    workers.start_soon(worker.run, name=f"{delivery.kind} {delivery.name}")
                while True:
                    await anyio.sleep(LOOK_SECONDS)
                    self.report()
                    await self.check()
        finally:
            for delivery in self._workers:  # it may outlive us, as a reader does a reload
                delivery.on_uptake = ignore_uptake

    async def check(self, *, until_tried: bool = False) -> None:
        """Have what somebody removed or altered put right; the board says that it is not.

        `until_tried`: return once that has been tried.
        """
        with anyio.move_on_after(CHECK_SECONDS):
            async with anyio.create_task_group() as looks:
                for worker in self._workers.values():
                    looks.start_soon(worker.check, until_tried)

    def report(self) -> None:
        """Log what has been delivered, and say on the board what lags behind."""
        now = CLOCK.now()
        for worker in self._workers.values():
            worker.report(now)

    async def withdraw(self, kept: Collection[tuple[str, str]]) -> None:
        """Take back what was delivered, except by deliveries that somebody carries on."""
        for delivery in self._workers:
            if (delivery.kind, delivery.name) not in kept:
                await self._workers[delivery].withdraw()
