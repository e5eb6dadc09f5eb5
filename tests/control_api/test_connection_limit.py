"""Who keeps a place, and who gives way."""

import anyio
from anyio.abc import TaskStatus

from rensei_daemon.control_api.connection_limit import Client, ConnectionLimit


async def _be_waited_for(
    crowd: ConnectionLimit, name: str, order: list[str], *, task_status: TaskStatus[None]
) -> None:
    guest = Client()
    assert crowd.admit(guest)
    with guest.waited_for(60):
        task_status.started()
        await anyio.sleep_forever()
    crowd.leave(guest)
    assert not guest.has_place
    order.append(name)


async def test_a_newcomer_takes_the_place_of_who_is_waited_for_longest() -> None:
    """Once it has been waited for as long as patience lasts; then the next."""
    crowd, order = ConnectionLimit(2, patience_seconds=0), list[str]()
    with anyio.fail_after(2):
        async with anyio.create_task_group() as group:
            await group.start(_be_waited_for, crowd, "first", order)
            await group.start(_be_waited_for, crowd, "second", order)
            third = Client()
            assert crowd.admit(third)
            await anyio.wait_all_tasks_blocked()
            assert order == ["first"]
            with third.waited_for(60):
                assert crowd.admit(Client())
                await anyio.wait_all_tasks_blocked()
            assert order == ["first", "second"]


async def test_who_has_only_come_is_left_in_peace_by_newcomers() -> None:
    """Nobody has been waited for long: each keeps its place, and a newcomer has none."""
    crowd, guest, newcomer = ConnectionLimit(1, patience_seconds=60), Client(), Client()
    assert crowd.admit(guest)
    with guest.waited_for(60):
        assert not crowd.admit(newcomer)
        assert guest.has_place
    crowd.leave(guest)
    assert crowd.admit(newcomer)


async def test_who_has_spoken_comes_before_who_has_not() -> None:
    """However short a time that one has been waited for."""
    crowd, guest, spoken = ConnectionLimit(1, patience_seconds=60), Client(), Client()
    assert crowd.admit(guest)
    with guest.waited_for(60):
        assert crowd.admit(spoken, has_spoken=True)
        assert not guest.has_place


async def test_who_is_being_served_is_left_in_peace() -> None:
    """While the daemon works on an answer, nobody is waiting for the client."""
    crowd, guest = ConnectionLimit(1, patience_seconds=0), Client()
    assert crowd.admit(guest)
    with guest.waited_for(60):
        pass
    assert not crowd.admit(Client(), has_spoken=True)
    assert guest.has_place


async def test_who_has_no_place_is_not_waited_for() -> None:
    """What it has sent is read; the first wait is the last."""
    guest, read = Client(), False
    with anyio.fail_after(1), guest.waited_for(60):
        read = True
        await anyio.sleep_forever()
    assert read


async def test_leaving_twice_takes_no_place_from_another() -> None:
    """One that was displaced leaves all the same."""
    crowd, first, second = ConnectionLimit(1, patience_seconds=0), Client(), Client()
    assert crowd.admit(first)
    with first.waited_for(60):
        assert crowd.admit(second)
    crowd.leave(first)
    assert not crowd.admit(Client())
