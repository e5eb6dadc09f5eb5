"""Why a snapshot is due."""

import anyio

from rensei_daemon.tasks.pace import Pace
from rensei_daemon.tasks.schedule import Schedule


def _exactly(low: float, high: float) -> float:
    return high


async def test_each_snapshot_has_its_reason() -> None:
    """Wanted for something, else a retry, else a poll without a stream, else a renewal."""
    schedule = Schedule(Pace(poll_seconds=0.0), _exactly)
    reasons = [schedule.begin()]
    schedule.succeed(3600)
    reasons.append(schedule.begin())
    schedule.want("event")
    reasons.append(schedule.begin())
    schedule.fail(1.0, asked_seconds=0.0)
    reasons.append(schedule.begin())
    schedule.succeed(3600)
    schedule.stream_is_up()
    reasons.append(schedule.begin())
    schedule.succeed(0.0)
    reasons.append(schedule.begin())
    assert reasons == ["start", "poll", "event", "retry", "connect", "refresh"]


async def test_a_reason_is_told_once() -> None:
    """The newest of several that came together."""
    schedule = Schedule(Pace(), _exactly)
    schedule.want("event")
    schedule.want("asked", at_once=True)
    assert schedule.begin() == "asked"
    schedule.stream_is_up()
    schedule.begin()
    schedule.succeed(3600)
    assert schedule.wait_seconds > 3000
    assert anyio.current_time() > 0
