"""How much of a stream is read before other tasks run."""

from collections.abc import AsyncIterator, Iterable

import anyio
import anyio.lowlevel
import pytest
from deadlines import HANG_SECONDS

from rensei_daemon.errors import TransientError
from rensei_daemon.platform_api.event_reader import EventReader, StreamLimits

EVENT = b'data: {"delta": {"TOKEN": "t"}}\n\n'


async def _arrived(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    """Return what has arrived already, without waiting."""
    for chunk in chunks:
        yield chunk


@pytest.mark.parametrize(
    ("chunks", "least", "most"),
    [
        pytest.param([EVENT], 0, 0, id="a lone event"),
        pytest.param([b":"] * 800, 90, 110, id="crumbs"),
        pytest.param([b": " + b"x" * 65534], 31, 33, id="a long line"),
    ],
)
async def test_much_that_arrived_together_does_not_hold_up_other_tasks(
    chunks: list[bytes], least: int, most: int
) -> None:
    """A lone event is returned in the same turn of the loop."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await anyio.lowlevel.checkpoint()
            turns += 1

    reader = EventReader(_arrived(chunks), StreamLimits(), max_age_seconds=60.0)
    pieces = sum(-(-len(chunk) // 2048) for chunk in chunks)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(count)
        await anyio.lowlevel.checkpoint()
        turns = 0
        for _ in range(pieces):
            assert await reader.read()
        assert least <= turns <= most
        tasks.cancel_scope.cancel()


async def test_all_events_of_a_turn_come_before_the_next_wait() -> None:
    """None is delayed by what the reader of another one does after it."""
    done: list[str] = []
    arrived = anyio.Event()

    async def source(name: str) -> AsyncIterator[bytes]:
        await arrived.wait()
        yield EVENT
        done.append(f"{name} waits")
        await anyio.sleep_forever()

    async def read(name: str) -> None:
        reader = EventReader(source(name), StreamLimits(), max_age_seconds=60.0)
        await reader.read()
        while await reader.next_read():
            done.append(f"{name} has an event")
        await reader.read()

    async with anyio.create_task_group() as tasks:
        for name in ("one", "two"):
            tasks.start_soon(read, name)
        await anyio.wait_all_tasks_blocked()
        arrived.set()
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    events, waits = done[:2], done[2:]
    assert events == ["one has an event", "two has an event"]
    assert waits == ["one waits", "two waits"]


async def test_a_peer_that_is_given_up_between_two_events_ends_its_stream() -> None:
    """No byte comes any more, so nothing else would end the wait that is to begin."""

    async def source() -> AsyncIterator[bytes]:
        yield EVENT
        await anyio.sleep_forever()

    reader = EventReader(source(), StreamLimits(), max_age_seconds=3600.0)
    assert await reader.read()
    assert await reader.next_read()
    with anyio.fail_after(HANG_SECONDS):
        async with anyio.create_task_group() as tasks:

            async def wait() -> None:
                with pytest.raises(TransientError, match="no longer there"):
                    await reader.read()

            async def give_up() -> None:
                reader.give_up("no longer there")

            tasks.start_soon(wait)
            tasks.start_soon(give_up)
