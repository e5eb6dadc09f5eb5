"""How late the loop is."""

import time

import anyio
from deadlines import HANG_SECONDS

from rensei_daemon.core.counters import Histogram
from rensei_daemon.tasks.loop_lag import measure_lag


async def test_a_loop_that_was_held_up_is_late_by_that_much() -> None:
    """A blocking call is recorded with its duration."""
    lag = Histogram()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(measure_lag, lag, 0.01)
        await anyio.wait_all_tasks_blocked()
        time.sleep(0.3)  # noqa: ASYNC251 - passes time
        with anyio.fail_after(HANG_SECONDS):
            while not lag.count:
                await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    assert lag.total_seconds >= 0.25
