"""Tests of what a server does while its database is away."""

import pytest
from recorded_streams import RecordedStream

from rensei_platform.bus.hub import Hub
from rensei_platform.bus.local import LocalBus
from rensei_platform.errors import UnavailableError
from rensei_platform.services.availability import Availability


class LostBus(LocalBus):
    """A bus that may be lost."""

    def __init__(self) -> None:
        super().__init__()
        self.is_connected = True


class Outage:
    """A database that may be away, a clock, and a stream."""

    def __init__(self) -> None:
        hub = Hub()
        self.bus = LostBus()
        self.now = 0.0
        self.is_away = False
        self.stream = RecordedStream(hub)
        self.availability = Availability(self._ping, self.bus, hub, clock=lambda: self.now)

    async def _ping(self) -> None:
        if self.is_away:
            raise UnavailableError

    async def has_stream_at(self, now: float, *, is_away: bool = True) -> bool:
        """Whether the stream is still open after a check at this time."""
        self.now, self.is_away = now, is_away
        await self.availability.check()
        return not self.stream.is_ended


@pytest.fixture
def outage() -> Outage:
    """A database that answered at 0 seconds."""
    return Outage()


async def test_streams_end_when_the_database_is_away_too_long(outage: Outage) -> None:
    """They survive 29 seconds without an answer, and not 30."""
    assert await outage.has_stream_at(29.0)
    assert not await outage.has_stream_at(30.0)


async def test_an_answer_begins_the_time_anew(outage: Outage) -> None:
    """Only an absence without a gap counts."""
    assert await outage.has_stream_at(29.0)
    assert await outage.has_stream_at(31.0, is_away=False)
    assert await outage.has_stream_at(60.0)
    assert not await outage.has_stream_at(61.0)


async def test_requests_are_refused_while_it_is_away(outage: Outage) -> None:
    """From then on, with when to come back, until it answers."""
    await outage.has_stream_at(29.0)
    outage.availability.require()
    await outage.has_stream_at(30.0)
    with pytest.raises(UnavailableError) as refused:
        outage.availability.require()
    assert refused.value.retry_after_seconds == 10
    await outage.has_stream_at(35.0, is_away=False)
    outage.availability.require()


async def test_a_lost_bus_is_no_better(outage: Outage) -> None:
    """Nothing would be heard of what other servers do."""
    outage.bus.is_connected = False
    assert await outage.has_stream_at(29.0, is_away=False)
    assert not await outage.has_stream_at(30.0, is_away=False)
    with pytest.raises(UnavailableError):
        outage.availability.require()
    outage.bus.is_connected = True
    await outage.has_stream_at(31.0, is_away=False)
    outage.availability.require()
