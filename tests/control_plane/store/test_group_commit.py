"""Transactions of SQLite that share a commit."""

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from deadlines import HANG_SECONDS
from platform_server import sqlite_url
from sqlalchemy import event, text
from sqlalchemy.exc import IntegrityError

from rensei_platform.errors import UnavailableError
from rensei_platform.store.engine import Store
from rensei_platform.store.group_commit import MOST_TOGETHER

MOST_PAGES = 50
FILLS_THE_DISK = "INSERT INTO texts VALUES (zeroblob(250000))"


class Numbers:
    """A database of numbers, and what happened to it."""

    def __init__(self, store: Store, path: Path) -> None:
        self.store, self._path = store, path
        self.commits = 0
        self.order: list[str] = []
        event.listen(store._writers.sync_engine, "commit", self._note_commit)
        event.listen(store._writers.sync_engine, "connect", limit_size)

    def _note_commit(self, _: object) -> None:
        self.commits += 1

    async def add(self, number: int, failure: str | Exception | None = None) -> None:
        """Add a number in a transaction; then another program sees it."""
        async with self.store.write() as db:
            self.order.append(f"{number} begins")
            await db.execute(text("INSERT INTO numbers VALUES (:n)"), {"n": number})
            if isinstance(failure, str):
                await db.execute(text(failure))
            elif failure is not None:
                raise failure
        self.order.append(f"{number} is done")
        assert number in self.stored

    @property
    def stored(self) -> list[int]:
        """The numbers that another program sees."""
        other = sqlite3.connect(self._path)
        try:
            return [n for (n,) in other.execute("SELECT n FROM numbers ORDER BY n")]
        finally:
            other.close()


@pytest.fixture
async def numbers(tmp_path: Path) -> AsyncIterator[Numbers]:
    """An empty database of numbers."""
    url = sqlite_url(tmp_path)
    path = Path(str(url.database))
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE numbers (n INTEGER PRIMARY KEY)")
        db.execute("CREATE TABLE texts (text)")
    db.close()
    store = Store(url)
    numbers = Numbers(store, path)
    yield numbers
    await store.close()


def limit_size(connection: Any, _: object) -> None:
    """Have the database answer as on a full disk beyond a few pages."""
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA max_page_count={MOST_PAGES}")
    cursor.close()


async def add_all(numbers: Numbers, count: int, **failures: str | Exception) -> list[int]:
    """Add numbers at the same time, some with a failure; return those that failed."""
    failed = []

    async def add(number: int) -> None:
        try:
            await numbers.add(number, failures.get(f"n{number}"))
        except (ValueError, IntegrityError, UnavailableError):
            failed.append(number)

    with anyio.fail_after(HANG_SECONDS):
        async with anyio.create_task_group() as tasks:
            for number in range(count):
                tasks.start_soon(add, number)
    return sorted(failed)


async def test_those_who_wait_share_a_commit(numbers: Numbers) -> None:
    """All of them are stored when they go on, with one commit for many."""
    assert await add_all(numbers, 30) == []
    assert numbers.stored == list(range(30))
    assert numbers.commits < 5


async def test_the_first_does_not_wait_for_all_others(numbers: Numbers) -> None:
    """A group is bounded; the first goes on with it."""
    await add_all(numbers, count := 3 * MOST_TOGETHER)
    assert numbers.stored == list(range(count))
    first, last = (numbers.order.index(at) for at in ("0 is done", f"{count - 1} begins"))
    assert first < last


@pytest.mark.parametrize("number", [0, 7, 19])
async def test_one_that_raises_undoes_its_own_part(numbers: Numbers, number: int) -> None:
    """Be it the first, the last, or between: the others are stored."""
    assert await add_all(numbers, 20, **{f"n{number}": ValueError()}) == [number]
    assert numbers.stored == [n for n in range(20) if n != number]


async def test_a_value_that_is_there_already_fails_alone(numbers: Numbers) -> None:
    """The database undoes that statement only."""
    again = "INSERT INTO numbers VALUES (7)"
    assert await add_all(numbers, 20, n7=again) == [7]
    assert numbers.stored == [n for n in range(20) if n != 7]


async def test_a_full_disk_fails_the_whole_group(numbers: Numbers) -> None:
    """None of those who share the commit takes theirs for stored; the next is stored."""
    failed = await add_all(numbers, 20, n7=FILLS_THE_DISK)
    assert set(range(8)) <= set(failed)
    assert numbers.stored == [n for n in range(20) if n not in failed]
    await numbers.add(100)
    assert 100 in numbers.stored


async def test_one_that_gives_up_waiting_keeps_nobody(numbers: Numbers) -> None:
    """The group is ended by the first, whoever else was to join."""
    scope = anyio.CancelScope()

    async def give_up() -> None:
        with scope:
            await numbers.add(1)

    async def first() -> None:
        async with numbers.store.write() as db:
            await db.execute(text("INSERT INTO numbers VALUES (0)"))
            tasks.start_soon(give_up)
            await anyio.wait_all_tasks_blocked()
            scope.cancel()

    with anyio.fail_after(HANG_SECONDS):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(first)
    assert numbers.stored == [0]
