"""What the daemon reports: the status file, the service manager, the first board."""

import json
import select
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
import pytest
from deadlines import HANG_SECONDS
from polling import until

from rensei_daemon.core.counters import Histogram
from rensei_daemon.core.document import Document
from rensei_daemon.core.liveness import Deadlines
from rensei_daemon.systemd import Notifier
from rensei_daemon.tasks import status_reporting
from rensei_daemon.tasks.status_reporting import (
    feed_watchdog,
    keep_reporting,
    measure_lag,
    status_failures,
    write_status,
)

if TYPE_CHECKING:
    from tasks.conftest import Home

EVERYTHING = ("heartbeat", "mutations", "sessions", "configuration", "runtime token")


class Manager:
    """Listens as a service manager does."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self.notifier = Notifier.from_environ({"NOTIFY_SOCKET": listener.getsockname()})

    async def hear(self) -> str:
        """Wait for the next message."""
        return (await anyio.to_thread.run_sync(self._listener.recv, 4096)).decode()

    @property
    def has_heard_nothing(self) -> bool:
        """Whether no message has been sent."""
        return not select.select([self._listener], [], [], 0)[0]


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    """A service manager."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(HANG_SECONDS)
        yield Manager(listener)


async def test_a_state_file_that_cannot_be_written_is_an_alarm(home: "Home") -> None:
    """The daemon continues, shows why, and clears it when it can write."""
    place = home.place / "gone"
    async with home.daemon(without=EVERYTHING) as daemon:
        failures = status_failures(daemon.board)
        await write_status(daemon.board, place / "status.json", failures)
        assert "No such file" in daemon.conditions["storage"].message
        place.mkdir()
        await write_status(daemon.board, place / "status.json", failures)
        assert "storage" not in daemon.conditions
        file = place / "status.json"
        assert json.loads(file.read_text())["pid"] == daemon.board.pid
        assert file.stat().st_mode & 0o777 == 0o600


async def test_a_change_of_state_is_told_at_once(
    home: "Home", manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The manager's status line changes with the state, not at the next interval."""
    monkeypatch.setattr(status_reporting, "AT_LEAST_EVERY_SECONDS", 1000.0)
    async with home.daemon(without=EVERYTHING) as daemon:
        file = home.place / "status.json"
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(keep_reporting, daemon.board, file, manager.notifier)
            assert (await manager.hear()).startswith("STATUS=starting")
            daemon.board.stop()
            assert (await manager.hear()).startswith("STATUS=stopping")
            tasks.cancel_scope.cancel()


class WatchedDeadlines(Deadlines):
    """Deadlines that count how often they are looked at."""

    looks = 0

    def overdue(self, now: float) -> tuple[str, ...]:
        """Return what is overdue, and count."""
        self.looks += 1
        return super().overdue(now)


async def test_the_watchdog_is_fed_only_while_every_loop_turns(manager: Manager) -> None:
    """A loop that misses its deadline stops it, until the loop continues."""
    deadlines = WatchedDeadlines()
    async with anyio.create_task_group() as tasks:
        deadlines.set("beats", anyio.current_time() - 60)
        tasks.start_soon(feed_watchdog, deadlines, manager.notifier, 0.01)
        await until(lambda: deadlines.looks >= 3)
        assert manager.has_heard_nothing
        deadlines.set("beats", anyio.current_time() + 60)
        assert await manager.hear() == "WATCHDOG=1"
        tasks.cancel_scope.cancel()


async def test_the_first_board_knows_what_went_before(home: "Home") -> None:
    """A broken file, a damaged journal and a path on disk are shown at once."""
    home.last_good.save(Document(home.base), home.key)
    home.config.write_text("[")
    (home.state / "journal.db").write_bytes(b"no database" * 1000)
    async with home.daemon(without=EVERYTHING) as daemon:
        assert {"config.invalid", "storage"} <= daemon.conditions.keys()
        aside = next(home.state.glob("journal.db.damaged-*"))
        assert daemon.conditions["storage"].message == (
            f"the journal could not be read and was set aside as {aside}"
        )


async def test_an_identity_that_cannot_be_saved_is_used_all_the_same(home: "Home") -> None:
    """Heartbeats continue, the alarm says why, and saving is retried."""
    async with home.daemon(without=("sessions", "mutations")) as daemon:
        shutil.rmtree(home.runtime)
        await daemon.until(lambda: len(home.beats) >= 2)
        assert "token: No such file" in daemon.conditions["storage"].message
        home.runtime.mkdir()
        await daemon.until(lambda: not daemon.conditions)
        assert (home.runtime / "token").exists()


async def test_a_loop_that_was_held_up_is_late_by_that_much() -> None:
    """A blocking call is recorded with its duration."""
    lag = Histogram()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(measure_lag, lag, 0.01)
        await anyio.wait_all_tasks_blocked()
        time.sleep(0.3)  # noqa: ASYNC251 - passes time
        with anyio.fail_after(HANG_SECONDS):
            while not lag.count:
                await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    assert lag.total_seconds >= 0.25
