"""A wall clock that is off, and a machine that was suspended."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import anyio
import pytest
from deadlines import HANG_SECONDS

from rensei_daemon.clock import Clock
from rensei_daemon.core.board import report
from rensei_daemon.core.conditions import Code
from rensei_daemon.tasks.clock_watch import ClockWatch

if TYPE_CHECKING:
    from tasks.conftest import Home, Running

START = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
ALONE = ("mutations", "sessions", "configuration")


@dataclass
class Machine:
    """A machine whose clocks the test moves."""

    wall: datetime = START
    boot: float = 100.0
    awake: float = 100.0
    naps: list[float] = field(default_factory=list)
    resumed: int = 0

    async def sleep(self, seconds: float) -> None:
        """Sleep for no time, and let what is planned happen meanwhile."""
        await anyio.lowlevel.checkpoint()
        if self.naps:
            self.boot += self.naps.pop(0)
        else:
            await anyio.sleep_forever()

    def resume(self) -> None:
        """Count."""
        self.resumed += 1

    def watch(self, daemon: "Running") -> ClockWatch:
        """Watch these clocks."""
        return ClockWatch(
            daemon.board,
            daemon.heartbeat,
            self.resume,
            lambda low, _: low,
            clock=Clock(boot=lambda: self.boot, wall=lambda: self.wall),
            boot=lambda: self.boot,
            awake=lambda: self.awake,
            sleep=self.sleep,
        )


async def test_a_beat_tells_how_the_platforms_clock_is(home: "Home") -> None:
    """The Date of a response gives the offset; this platform shares the host's clock."""
    async with home.daemon(without=ALONE) as daemon:
        await daemon.until(lambda: daemon.board.heartbeat.last_ok_at)
        ahead = daemon.heartbeat.platform_ahead
    assert ahead is not None
    assert abs(ahead) < timedelta(seconds=3)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (30, None),
        (31, "this host's clock is 31 s ahead of the platform's"),
        (7200, "this host's clock is 2 h ahead of the platform's"),
        (-31, "this host's clock is 31 s behind the platform's"),
    ],
)
async def test_a_clock_that_is_off_is_a_condition_at_once(
    home: "Home", seconds: int, said: str | None
) -> None:
    """Also when it is set after the last response; it clears when the clock is right."""
    machine = Machine()
    async with home.daemon(without=(*ALONE, "heartbeat", "runtime token")) as daemon:
        watch = machine.watch(daemon)
        machine.wall += timedelta(seconds=seconds)
        watch.check()
        assert (
            Code.CLOCK_SKEWED,
            "",
        ) not in daemon.board.alarms  # nothing to compare with yet
        daemon.heartbeat.platform_ahead = timedelta(0)
        watch.check()
        found = report(daemon.board, daemon.board.started_at).conditions
        skewed = [(c.severity, c.message) for c in found if c.code == "clock.skewed"]
        assert skewed == ([("warning", said)] if said else [])
        machine.wall = START
        watch.check()
        assert (Code.CLOCK_SKEWED, "") not in daemon.board.alarms


@pytest.mark.parametrize(("naps", "resumed"), [([0, 29, 0], 0), ([0, 30, 0, 0], 1)])
async def test_a_machine_that_was_suspended_looks_at_everything_anew(
    home: "Home", naps: list[float], resumed: int
) -> None:
    """Once for each suspension, however long; a short stop does not count."""
    machine = Machine(naps=naps)
    async with home.daemon(without=(*ALONE, "heartbeat", "runtime token")) as daemon:
        with anyio.fail_after(HANG_SECONDS):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(machine.watch(daemon).run)
                while machine.naps:
                    await anyio.lowlevel.checkpoint()
                await anyio.wait_all_tasks_blocked()
                tasks.cancel_scope.cancel()
    assert machine.resumed == resumed
