"""Locks by name, within a replica and between replicas."""

import anyio
import pytest
from deadlines import HANG_SECONDS
from replicas import Replica

from rensei_platform.store.locks import MOST_CONNECTIONS, Locks


async def _two_at_once(first: Locks, second: Locks, names: tuple[str, str]) -> bool:
    """Whether both locks can be held at the same time."""
    entered = anyio.Event()

    async def enter() -> None:
        async with second.hold(names[1]):
            entered.set()

    async with first.hold(names[0]), anyio.create_task_group() as tasks:
        tasks.start_soon(enter)
        with anyio.move_on_after(0.2):
            await entered.wait()
        tasks.cancel_scope.cancel()
    return entered.is_set()


async def test_one_replica(replica: Replica) -> None:
    """A name is held by one task at a time; other names are not kept waiting."""
    locks = Locks(replica.store)
    assert not await _two_at_once(locks, locks, ("a", "a"))
    assert await _two_at_once(locks, locks, ("a", "b"))
    assert await _two_at_once(locks, locks, ("a", "b"))


@pytest.mark.parametrize("replica", ["postgresql"], indirect=True)
async def test_two_replicas(replica: Replica) -> None:
    """A name is held by one replica at a time."""
    one, other = Locks(replica.store), Locks(replica.store)
    assert not await _two_at_once(one, other, ("a", "a"))
    assert await _two_at_once(one, other, ("a", "b"))
    async with other.hold("a"):  # those that gave up left nothing behind
        pass


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
