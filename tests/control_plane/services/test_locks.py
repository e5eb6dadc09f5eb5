"""Locks by name, within a replica and between replicas."""

import anyio
import pytest
from deadlines import HANG_SECONDS
from replicas import Replica
from sqlalchemy import text

from rensei_platform.store.locks import MOST_CONNECTIONS, Locks


async def _held_together(first: Locks, second: Locks, names: tuple[str, str]) -> None:
    """Hold both locks at the same time."""
    granted = anyio.Event()

    async def enter() -> None:
        async with second.hold(names[1]):
            granted.set()

    with anyio.fail_after(HANG_SECONDS):
        async with anyio.create_task_group() as tasks, first.hold(names[0]):
            tasks.start_soon(enter)
            await granted.wait()


async def _held_in_turn(first: Locks, second: Locks, name: str) -> None:
    """Hold the lock, and have it asked for again: that is granted only afterwards."""
    granted = anyio.Event()

    async def enter() -> None:
        async with second.hold(name):
            granted.set()

    with anyio.fail_after(HANG_SECONDS):
        async with anyio.create_task_group() as tasks:
            async with first.hold(name):
                tasks.start_soon(enter)
                await anyio.sleep(0.1)  # passes time: nothing tells that nothing happens
                assert not granted.is_set()
            await granted.wait()


async def test_one_replica(replica: Replica) -> None:
    """A name is held by one task at a time; other names are not kept waiting."""
    locks = Locks(replica.store)
    await _held_in_turn(locks, locks, "a")
    await _held_together(locks, locks, ("a", "b"))
    assert locks.names == []


@pytest.mark.parametrize("replica", ["postgresql"], indirect=True)
async def test_two_replicas(replica: Replica) -> None:
    """A name is held by one replica at a time."""
    one, other = Locks(replica.store), Locks(replica.store)
    await _held_in_turn(one, other, "a")
    await _held_together(one, other, ("a", "b"))


async def test_released(replica: Replica) -> None:
    """A lock ends with its block, also when that fails or is cancelled."""
    locks = Locks(replica.store)
    with pytest.raises(KeyError):
        async with locks.hold("a"):
            raise KeyError
    with anyio.CancelScope() as scope:
        async with locks.hold("a"):
            scope.cancel()
            await anyio.sleep_forever()
    with anyio.fail_after(HANG_SECONDS):
        async with Locks(replica.store).hold("a"), locks.hold("b"):
            pass


async def test_many(replica: Replica) -> None:
    """More locks than connections are held one after the other, and none is forgotten."""
    locks, held = Locks(replica.store), []

    async def hold(name: str) -> None:
        async with locks.hold(name):
            held.append(name)

    names = [f"lock {n}" for n in range(3 * MOST_CONNECTIONS)]
    with anyio.fail_after(HANG_SECONDS):
        async with anyio.create_task_group() as tasks:
            for name in names * 2:
                tasks.start_soon(hold, name)
    assert sorted(held) == sorted(names * 2)
    assert locks.names == []


async def test_connections_are_left(replica: Replica) -> None:
    """However many locks are asked for, those who hold one can still use the database."""
    locks, done = Locks(replica.store), []

    async def work(name: str) -> None:
        async with locks.hold(name), replica.store.write() as db:
            await db.execute(text("SELECT 1"))
            done.append(name)

    with anyio.fail_after(HANG_SECONDS):
        async with anyio.create_task_group() as tasks:
            for number in range(40):
                tasks.start_soon(work, f"lock {number}")
    assert len(done) == 40
