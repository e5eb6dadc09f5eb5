"""Signals between tasks."""

import anyio
from deadlines import HANG_SECONDS

from rensei_daemon.wake_event import Cycle, WakeEvent


async def test_an_event_set_twice_wakes_one_waiter() -> None:
    """The next waiter sees an earlier set; nobody sees it twice."""
    event = WakeEvent()
    event.set()
    event.set()
    assert await event.wait(within=0)
    assert not await event.wait(within=0)


async def test_a_wait_that_is_under_way_can_be_shortened() -> None:
    """But not prolonged, and the next one is not."""
    event, ended = WakeEvent(), anyio.Event()
    event.shorten(0.0)

    async def wait() -> None:
        assert not await event.wait(within=1000.0)
        ended.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        assert not ended.is_set()
        event.shorten(0.0)
        event.shorten(1000.0)
        with anyio.fail_after(HANG_SECONDS):
            await ended.wait()
        event.shorten(0.0)
        event.set()
        assert await event.wait(within=1000.0)


async def test_an_iteration_under_way_is_not_the_next() -> None:
    """A task that starts to wait in an iteration waits for a whole one."""
    cycle, passed = Cycle(), anyio.Event()

    async def wait() -> None:
        await cycle.wait_next()
        passed.set()

    async with anyio.create_task_group() as tasks:
        cycle.begin()
        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        cycle.end()
        await anyio.wait_all_tasks_blocked()
        assert not passed.is_set()
        cycle.begin()
        cycle.end()
        with anyio.fail_after(HANG_SECONDS):
            await passed.wait()


async def test_an_iteration_ends_for_all_who_wait_and_for_nobody() -> None:
    """Any number of tasks may wait for the end of an iteration."""
    cycle = Cycle()
    cycle.begin()
    cycle.end()
    with anyio.fail_after(HANG_SECONDS):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(cycle.wait_next)
            tasks.start_soon(cycle.wait_next)
            await anyio.wait_all_tasks_blocked()
            cycle.begin()
            cycle.end()
