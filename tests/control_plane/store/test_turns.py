"""Turns at a database: in order, and refused where the line is too long."""

import anyio
import pytest
from deadlines import HANG_SECONDS

from rensei_platform.store.trouble import BUSY, DatabaseError
from rensei_platform.store.turns import Turns

pytestmark = pytest.mark.anyio


async def test_the_line_is_served_in_order() -> None:
    """As many at once as may be."""
    turns, begun = Turns(2), list[int]()
    free = {number: anyio.Event() for number in range(5)}

    async def go(number: int) -> None:
        async with turns:
            begun.append(number)
            await free[number].wait()

    with anyio.fail_after(HANG_SECONDS):
        async with anyio.create_task_group() as tasks:
            for number in free:
                tasks.start_soon(go, number)
                await anyio.wait_all_tasks_blocked()
            assert begun == [0, 1]
            free[1].set()
            await anyio.wait_all_tasks_blocked()
            assert begun == [0, 1, 2]
            for event in free.values():
                event.set()
    assert begun == [0, 1, 2, 3, 4]


async def test_who_would_stand_too_far_back_is_refused_at_once() -> None:
    """A place is free again when its task is gone, or has its turn."""
    turns = Turns(1, most_waiting=1)
    async with anyio.create_task_group() as tasks:
        await turns.acquire()
        waiting = anyio.CancelScope()
        tasks.start_soon(_wait_in, waiting, turns)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(DatabaseError) as caught:
            await turns.acquire()
        assert caught.value.trouble is BUSY
        assert caught.value.status == 503
        waiting.cancel()
        await anyio.wait_all_tasks_blocked()
        with anyio.fail_after(HANG_SECONDS):
            tasks.start_soon(turns.acquire)
            await anyio.wait_all_tasks_blocked()
            turns.release()


async def _wait_in(scope: anyio.CancelScope, turns: Turns) -> None:
    with scope:
        await turns.acquire()
