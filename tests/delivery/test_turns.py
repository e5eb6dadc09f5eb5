"""Work that waits until no more of it comes, then takes turns with what arrives."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import pairwise

import anyio
import anyio.lowlevel
import pytest
from background import running

from rensei_daemon.delivery import turns as turns_module
from rensei_daemon.delivery.turns import Turns


@asynccontextmanager
async def run() -> AsyncIterator[Turns]:
    """Run turns while the block runs."""
    turns = Turns()
    async with running(turns.run):
        yield turns


async def test_work_begins_when_no_more_of_it_comes() -> None:
    """In the order of the first requests, once each."""
    done: list[int] = []
    works = [partial(done.append, number) for number in range(20)]
    async with run() as turns:
        for work in works:
            turns.request(works[0])
            turns.request(work)
            await anyio.lowlevel.checkpoint()
            assert not done
        await turns.wait_idle()
    assert done == list(range(20))


async def test_work_takes_turns_with_what_arrives() -> None:
    """Whoever is woken meanwhile goes before the next piece."""
    done: list[str] = []

    async def arrive() -> None:
        for _ in range(8):
            done.append("event")
            await anyio.lowlevel.checkpoint()

    async with run() as turns:
        for _ in range(4):
            turns.request(partial(done.append, "file"))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(arrive)
            await turns.wait_idle()
    at = [index for index, what in enumerate(done) if what == "file"]
    assert len(at) == 4
    assert all(later - earlier == 2 for earlier, later in pairwise(at))


async def test_work_does_not_wait_for_ever() -> None:
    """Though more comes in every turn, it begins after a limited time."""
    done: list[int] = []
    async with run() as turns:
        number, began = 0, anyio.current_time()
        while not done:
            turns.request(partial(done.append, number))
            number += 1
            await anyio.lowlevel.checkpoint()
        assert anyio.current_time() - began >= turns_module.MOST_SECONDS
    assert done[0] == 0


@pytest.mark.slow
async def test_work_that_never_ends_is_not_waited_for_to_its_end() -> None:
    """A session whose values change all the time holds up nobody's hook for ever."""

    async def flood(turns: Turns) -> None:
        done: list[int] = []
        work = partial(done.append, 1)
        while True:
            turns.request(work)
            await anyio.lowlevel.checkpoint()

    async with run() as turns, anyio.create_task_group() as tasks:
        tasks.start_soon(flood, turns)
        await anyio.lowlevel.checkpoint()
        began = anyio.current_time()
        await turns.wait_idle()
        assert anyio.current_time() - began >= turns_module.IDLE_SECONDS
        tasks.cancel_scope.cancel()


async def test_cancelled_work_is_not_run() -> None:
    """What is asked for besides is; a wait ends also if nothing is left."""
    done: list[str] = []
    one, other = partial(done.append, "one"), partial(done.append, "other")
    async with run() as turns:
        turns.request(one)
        turns.request(other)
        turns.cancel(one)
        turns.cancel(one)
        await turns.wait_idle()
        turns.request(one)
        turns.cancel(one)
        await turns.wait_idle()
    assert done == ["other"]
