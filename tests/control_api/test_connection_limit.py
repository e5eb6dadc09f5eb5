"""Who keeps a place, and who gives way."""

import anyio
from anyio.abc import TaskStatus
from deadlines import HANG_SECONDS

from rensei_daemon.control_api.connection_limit import Client, ConnectionLimit


async def _be_waited_for(
    connection_limit: ConnectionLimit,
    name: str,
    order: list[str],
    *,
    task_status: TaskStatus[None],
) -> None:
    client = Client()
    assert connection_limit.admit(client)
    with client.waiting(60):
        task_status.started()
        await anyio.sleep_forever()
    connection_limit.release(client)
    assert not client.has_slot
    order.append(name)


async def test_a_newcomer_takes_the_place_of_who_is_waited_for_longest() -> None:
    """Once it has been waited for as long as patience lasts; then the next."""
    connection_limit, order = ConnectionLimit(2, grace_seconds=0), list[str]()
    with anyio.fail_after(HANG_SECONDS):
        async with anyio.create_task_group() as group:
            await group.start(_be_waited_for, connection_limit, "first", order)
            await group.start(_be_waited_for, connection_limit, "second", order)
            third = Client()
            assert connection_limit.admit(third)
            await anyio.wait_all_tasks_blocked()
            assert order == ["first"]
            with third.waiting(60):
                assert connection_limit.admit(Client())
                await anyio.wait_all_tasks_blocked()
            assert order == ["first", "second"]


async def test_who_has_only_come_is_left_in_peace_by_newcomers() -> None:
    """Nobody has been waited for long: each keeps its place, and a newcomer has none."""
    connection_limit, client, newcomer = (
        ConnectionLimit(1, grace_seconds=60),
        Client(),
        Client(),
    )
    assert connection_limit.admit(client)
    with client.waiting(60):
        assert not connection_limit.admit(newcomer)
        assert client.has_slot
    connection_limit.release(client)
    assert connection_limit.admit(newcomer)


async def test_who_has_spoken_comes_before_who_has_not() -> None:
    """However short a time that one has been waited for."""
    connection_limit, client, spoken = (
        ConnectionLimit(1, grace_seconds=60),
        Client(),
        Client(),
    )
    assert connection_limit.admit(client)
    with client.waiting(60):
        assert connection_limit.admit(spoken, has_request=True)
        assert not client.has_slot


async def test_who_is_being_served_is_left_in_peace() -> None:
    """While the daemon works on an answer, nobody is waiting for the client."""
    connection_limit, client = ConnectionLimit(1, grace_seconds=0), Client()
    assert connection_limit.admit(client)
    with client.waiting(60):
        pass
    assert not connection_limit.admit(Client(), has_request=True)
    assert client.has_slot


async def test_who_has_no_place_is_not_waited_for() -> None:
    """What it has sent is read; the first wait is the last."""
    client, read = Client(), False
    with anyio.fail_after(HANG_SECONDS), client.waiting(60):
        read = True
        await anyio.sleep_forever()
    assert read


async def test_leaving_twice_takes_no_place_from_another() -> None:
    """One that was displaced leaves all the same."""
    connection_limit, first, second = (
        ConnectionLimit(1, grace_seconds=0),
        Client(),
        Client(),
    )
    assert connection_limit.admit(first)
    with first.waiting(60):
        assert connection_limit.admit(second)
    connection_limit.release(first)
    assert not connection_limit.admit(Client())
