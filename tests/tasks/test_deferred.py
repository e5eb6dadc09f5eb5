"""Work that waits until everybody has been told."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import anyio
import anyio.lowlevel

from rensei_daemon.tasks.deferred import DeferredWork


@asynccontextmanager
async def kept() -> AsyncIterator[DeferredWork]:
    """Keep such work while the block runs, at most 5 s."""
    afterwards = DeferredWork()
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(afterwards.keep)
            yield afterwards
            tasks.cancel_scope.cancel()


async def test_work_is_done_once_and_in_order() -> None:
    """However often it is asked for; and not before whoever asks has gone on."""
    done: list[str] = []
    over = anyio.Event()
    first = partial(done.append, "first")
    async with kept() as afterwards:
        for _ in range(3):
            afterwards.do(first)
            afterwards.do(over.set)
            await anyio.lowlevel.checkpoint()
        assert done == []
        await over.wait()
    assert done == ["first"]


async def test_nothing_is_left_undone() -> None:
    """Also what is asked for in the last moment."""
    done: list[str] = []
    async with kept() as afterwards:
        await anyio.lowlevel.checkpoint()
        afterwards.do(partial(done.append, "late"))
    assert done == ["late"]


async def test_work_may_ask_for_more() -> None:
    """What it asks for is done the next time round."""
    rounds: list[int] = []
    over = anyio.Event()
    async with kept() as afterwards:

        def work() -> None:
            rounds.append(len(rounds))
            if len(rounds) == 3:
                over.set()
            else:
                afterwards.do(work)

        afterwards.do(work)
        await over.wait()
    assert rounds == [0, 1, 2]


async def test_work_can_be_dropped() -> None:
    """Its owner is over; what is not due may be dropped all the same."""
    done: list[str] = []
    due, other = partial(done.append, "due"), partial(done.append, "other")
    async with kept() as afterwards:
        afterwards.do(due)
        afterwards.do(other)
        afterwards.drop(due)
        afterwards.drop(due)
    assert done == ["other"]
