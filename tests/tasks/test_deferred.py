"""Work that is deferred until the values have been delivered."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import anyio
import anyio.lowlevel
from deadlines import HANG_SECONDS

from rensei_daemon.tasks.deferred import DeferredWork


@asynccontextmanager
async def kept() -> AsyncIterator[DeferredWork]:
    """Keep such work while the block runs."""
    deferred = DeferredWork()
    with anyio.fail_after(HANG_SECONDS):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(deferred.run)
            yield deferred
            tasks.cancel_scope.cancel()


async def test_work_is_done_once_and_in_order() -> None:
    """Once, however often it is requested, and after the caller has continued."""
    done: list[str] = []
    over = anyio.Event()
    first = partial(done.append, "first")
    async with kept() as deferred:
        for _ in range(3):
            deferred.run_soon(first)
            deferred.run_soon(over.set)
            await anyio.lowlevel.checkpoint()
        assert done == []
        await over.wait()
    assert done == ["first"]


async def test_nothing_is_left_undone() -> None:
    """Work requested at the last moment is run too."""
    done: list[str] = []
    async with kept() as deferred:
        await anyio.lowlevel.checkpoint()
        deferred.run_soon(partial(done.append, "late"))
    assert done == ["late"]


async def test_work_may_ask_for_more() -> None:
    """Work requested by work runs in the next iteration."""
    rounds: list[int] = []
    over = anyio.Event()
    async with kept() as deferred:

        def work() -> None:
            rounds.append(len(rounds))
            if len(rounds) == 3:
                over.set()
            else:
                deferred.run_soon(work)

        deferred.run_soon(work)
        await over.wait()
    assert rounds == [0, 1, 2]


async def test_work_can_be_dropped() -> None:
    """Cancelled work does not run; work that is not due may be cancelled too."""
    done: list[str] = []
    due, other = partial(done.append, "due"), partial(done.append, "other")
    async with kept() as deferred:
        deferred.run_soon(due)
        deferred.run_soon(other)
        deferred.cancel(due)
        deferred.cancel(due)
    assert done == ["other"]
