"""The bus of a single server."""

import anyio
from anyio.abc import TaskStatus

from rensei_platform.bus.messages import Message, Subscribers


class LocalBus(Subscribers):
    """Carries messages within this process."""

    is_connected = True

    async def publish(self, message: Message) -> None:
        """Tell this process."""
        self.deliver(message)

    async def run(
        self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        """Return at once: there is nothing to do."""
        task_status.started()
