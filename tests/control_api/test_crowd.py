"""Who keeps a place, and who gives way."""

import anyio
from anyio.abc import TaskStatus

from rensei_daemon.control_api.crowd import Crowd


async def test_a_newcomer_takes_the_place_of_who_is_waited_for_longest() -> None:
    """Once it has been waited for as long as patience lasts; then the next."""
    crowd, order = Crowd(2, patience_seconds=0), list[str]()
    with anyio.fail_after(2):
        async with anyio.create_task_group() as group:
            await group.start(_be_waited_for, crowd, "first", order)
            await group.start(_be_waited_for, crowd, "second", order)
            third = crowd.admit()
            assert third is not None
            await anyio.wait_all_tasks_blocked()
            assert order == ["first"]
            with third.waited_for(60):
                assert crowd.admit() is not None
                await anyio.wait_all_tasks_blocked()
            assert order == ["first", "second"]


async def _be_waited_for(
    crowd: Crowd,
    name: str,
    order: list[str],
    *,
    task_status: TaskStatus[None],
) -> None:
    guest = crowd.admit()
    assert guest is not None
    with guest.waited_for(60):
        task_status.started()
        await anyio.sleep_forever()
    crowd.leave(guest)
    assert guest.is_displaced
    order.append(name)


async def test_who_has_only_come_is_left_in_peace() -> None:
    """Nobody has been waited for long: each keeps its place, and a newcomer has none."""
    crowd = Crowd(1, patience_seconds=60)
    guest = crowd.admit()
    assert guest is not None
    assert crowd.admit() is None
    crowd.leave(guest)
    assert crowd.admit() is not None


async def test_who_is_being_served_is_left_in_peace() -> None:
    """While the daemon works on an answer, nobody is waiting for the client."""
    crowd = Crowd(1, patience_seconds=0)
    guest = crowd.admit()
    assert guest is not None
    with guest.waited_for(60):
        pass
    assert crowd.admit() is None
    assert not guest.is_displaced


async def test_who_was_displaced_before_it_was_waited_for_is_not_waited_for() -> None:
    """It is told to come back at its first word."""
    crowd = Crowd(1, patience_seconds=0)
    guest = crowd.admit()
    assert guest is not None
    assert crowd.admit() is not None
    assert guest.is_displaced
    with anyio.fail_after(1), guest.waited_for(60):
        await anyio.sleep_forever()


async def test_leaving_twice_takes_no_place_from_another() -> None:
    """One that was displaced leaves all the same."""
    crowd = Crowd(1, patience_seconds=0)
    first = crowd.admit()
    second = crowd.admit()
    assert first is not None
    assert second is not None
    with second.waited_for(60):
        pass
    crowd.leave(first)
    assert crowd.admit() is None
