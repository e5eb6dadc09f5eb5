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
        figures: SessionCounters | None = None,
    ) -> None:
        figures = figures or SessionCounters()
        self._lanes = {
            d: DeliveryWorker(d, session_id, board, draw, figures) for d in deliveries
        }
        for delivery, lane in self._lanes.items():
            if delivery.after is not None:
                self._lanes[delivery.after].followers.append(lane)

    @property
    def names(self) -> Collection[tuple[str, str]]:
        """Every delivery as (kind, name)."""
        return {(delivery.kind, delivery.name) for delivery in self._lanes}

    @property
    def consumers(self) -> tuple[ConsumerHealth, ...]:
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
                    await self.look()
        finally:
            for delivery in self._lanes:  # it may outlive us, as a reader does a reload
                delivery.on_uptake = ignore_uptake

    async def look(self, *, until_tried: bool = False) -> None:
        """Have what somebody removed or altered put right; the board says that it is not.

        `until_tried`: return once that has been tried.
        """
        with anyio.move_on_after(CHECK_SECONDS):
            async with anyio.create_task_group() as looks:
                for lane in self._lanes.values():
                    looks.start_soon(lane.look, until_tried)

    def tell(self) -> None:
        """Log what has been delivered, and say on the board what lags behind."""
        now = CLOCK.now()
        for lane in self._lanes.values():
            lane.tell(now)

    async def withdraw(self, kept: Collection[tuple[str, str]]) -> None:
        """Take back what was delivered, except by deliveries that somebody carries on."""
        for delivery in self._lanes:
            if (delivery.kind, delivery.name) not in kept:
                await self._lanes[delivery].withdraw()
