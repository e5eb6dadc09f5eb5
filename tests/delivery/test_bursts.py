"""Sending to several sessions together."""

from functools import partial

import anyio.lowlevel
from background import running

from rensei_daemon.delivery.bursts import MOST_SESSIONS, Bursts


async def test_what_one_turn_requests_is_sent_in_the_next() -> None:
    """In order, and once, however often it was requested."""
    bursts, sent = Bursts(), list[str]()
    one, two = partial(sent.append, "one"), partial(sent.append, "two")
    async with running(bursts.run):
        for send in (one, two, one):
            bursts.request(send)
        assert not sent
        await anyio.lowlevel.checkpoint()
        assert sent == ["one", "two"]
        bursts.request(one)
        await anyio.lowlevel.checkpoint()
    assert sent == ["one", "two", "one"]


async def test_many_are_sent_a_few_at_a_time() -> None:
    """The first do not wait for the last."""
    bursts, sent = Bursts(), list[int]()
    async with running(bursts.run):
        for number in range(MOST_SESSIONS):
            assert not sent
            bursts.request(partial(sent.append, number))
        assert sent == list(range(MOST_SESSIONS))
        bursts.request(partial(sent.append, -1))
        assert sent == list(range(MOST_SESSIONS))
        await anyio.lowlevel.checkpoint()
    assert sent == [*range(MOST_SESSIONS), -1]


async def test_nothing_waits_for_what_does_not_run() -> None:
    """Neither before it runs nor after, and it leaves nothing behind."""
    bursts, sent = Bursts(), list[str]()
    bursts.request(partial(sent.append, "before"))
    assert sent == ["before"]
    async with running(bursts.run):
        bursts.request(partial(sent.append, "last"))
    assert sent == ["before", "last"]
    bursts.request(partial(sent.append, "after"))
    assert sent == ["before", "last", "after"]
