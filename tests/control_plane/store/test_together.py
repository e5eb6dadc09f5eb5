"""Writes that are gathered: in groups, each caller told of its own."""

from collections.abc import Sequence
from typing import Any

import anyio
import pytest
from deadlines import HANG_SECONDS

from rensei_platform.errors import UnavailableError
from rensei_platform.store.together import MOST_TOGETHER, Together

pytestmark = pytest.mark.anyio


class Disk:
    """Notes the groups that it writes; each waits until it is let go."""

    def __init__(self) -> None:
        self.groups: list[list[Any]] = []
        self.begun = anyio.Event()
        self.free = anyio.Event()
        self.error: Exception | None = None
        self.asked = 0

    async def write(self, items: Sequence[object]) -> None:
        """Write a group: all of it, or nothing."""
        self.asked += 1
        self.begun.set()
        await self.free.wait()
        if self.error is not None:
            raise self.error
        if "bad" in items:
            raise ValueError("bad")
        self.groups.append(list(items))


async def test_what_arrives_meanwhile_is_one_group() -> None:
    """While one group is written, the next one gathers."""
    disk = Disk()
    together = Together(disk.write)
    with anyio.fail_after(HANG_SECONDS):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(together.add, "first")
            await disk.begun.wait()
            for item in ("second", "third", "fourth"):
                tasks.start_soon(together.add, item)
            await anyio.wait_all_tasks_blocked()
            disk.free.set()
    assert disk.groups == [["first"], ["second", "third", "fourth"]]


async def test_nobody_goes_on_before_its_item_is_written() -> None:
    """Also one that did not begin its group."""
    disk = Disk()
    together = Together(disk.write)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(together.add, "first")
        await disk.begun.wait()
        done: list[str] = []

        async def add() -> None:
            await together.add("second")
            done.append("second")

        tasks.start_soon(add)
        await anyio.wait_all_tasks_blocked()
        assert not done
        disk.free.set()
    assert done == ["second"]


async def test_a_group_has_an_end() -> None:
    """Other writers do not wait for more than that."""
    disk = Disk()
    together = Together(disk.write)
    count = 2 * MOST_TOGETHER
    with anyio.fail_after(HANG_SECONDS):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(together.add, 0)
            await disk.begun.wait()
            for number in range(1, count):
                tasks.start_soon(together.add, number)
            await anyio.wait_all_tasks_blocked()
            disk.free.set()
    assert max(map(len, disk.groups)) == MOST_TOGETHER
    assert [one for group in disk.groups for one in group] == list(range(count))


async def test_what_cannot_be_written_is_its_callers_alone() -> None:
    """Its neighbours are written without it."""
    disk = Disk()
    together = Together(disk.write)
    failed: list[str] = []

    async def add(item: str) -> None:
        try:
            await together.add(item)
        except ValueError:
            failed.append(item)

    with anyio.fail_after(HANG_SECONDS):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(add, "first")
            await disk.begun.wait()
            for item in ("second", "bad", "third"):
                tasks.start_soon(add, item)
            await anyio.wait_all_tasks_blocked()
            disk.free.set()
    assert failed == ["bad"]
    assert sorted(disk.groups) == [["first"], ["second"], ["third"]]


async def test_a_database_that_is_away_is_asked_once_for_a_group() -> None:
    """Nobody asks again: that would take as long as it took before."""
    disk = Disk()
    disk.error = UnavailableError()
    together = Together(disk.write)
    refused: list[str] = []

    async def add(item: str) -> None:
        try:
            await together.add(item)
        except UnavailableError:
            refused.append(item)

    with anyio.fail_after(HANG_SECONDS):
        async with anyio.create_task_group() as tasks:
            for item in ("first", "second", "third"):
                tasks.start_soon(add, item)
            await disk.begun.wait()
            await anyio.wait_all_tasks_blocked()
            disk.free.set()
    assert sorted(refused) == ["first", "second", "third"]
    assert disk.asked == 1


@pytest.mark.parametrize("whose", ["first", "second"])
async def test_a_client_that_goes_takes_nobody_with_it(whose: str) -> None:
    """What it asked for is written too."""
    disk = Disk()
    together = Together(disk.write)
    scopes = {item: anyio.CancelScope() for item in ("before", "first", "second")}
    done: list[str] = []

    async def add(item: str) -> None:
        with scopes[item]:
            await together.add(item)
            done.append(item)

    with anyio.fail_after(HANG_SECONDS):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(add, "before")
            await disk.begun.wait()
            for item in ("first", "second"):
                tasks.start_soon(add, item)
            await anyio.wait_all_tasks_blocked()
            scopes[whose].cancel()
            await anyio.wait_all_tasks_blocked()
            disk.free.set()
    assert disk.groups == [["before"], ["first", "second"]]
