"""How one task lets another know."""

import anyio
from deadlines import HANG_SECONDS

from rensei_daemon.tasks.wake_event import Cycle, WakeEvent


async def test_a_bell_rung_often_is_heard_once() -> None:
    """The next waiter sees an earlier set; nobody sees it twice."""
    bell = WakeEvent()
    bell.set()
    bell.set()
    assert await bell.wait(within=0)
    assert not await bell.wait(within=0)


async def test_a_turn_under_way_is_not_the_next() -> None:
    """A task that starts to wait in an iteration waits for a whole one."""
    turn, passed = Cycle(), anyio.Event()

    async def wait() -> None:
        await turn.wait_next()
        passed.set()

    async with anyio.create_task_group() as tasks:
        turn.begin()
        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        turn.end()
        await anyio.wait_all_tasks_blocked()
        assert not passed.is_set()
        turn.begin()
        turn.end()
        with anyio.fail_after(HANG_SECONDS):
            await passed.wait()
