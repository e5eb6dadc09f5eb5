"""Tests of what a server does while its database is away."""

import pytest
from recorded_streams import RecordedStream

from rensei_platform.bus.hub import Hub
from rensei_platform.errors import UnavailableError
from rensei_platform.services.availability import Availability


class Outage:
    """A database that may be away, a clock, and a stream."""

    def __init__(self) -> None:
        hub = Hub()
        self.now = 0.0
        self.is_away = False
        self.stream = RecordedStream(hub)
        self._availability = Availability(self._ping, hub, lambda: self.now)

    async def _ping(self) -> None:
        if self.is_away:
            raise UnavailableError

    async def has_stream_at(self, now: float, *, is_away: bool = True) -> bool:
        """Whether the stream is still open after a check at this time."""
        self.now, self.is_away = now, is_away
        await self._availability.check()
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
