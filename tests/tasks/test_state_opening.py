"""A disk that does not give the state at the start: a condition, and not the end."""

from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
import pytest
from deadlines import HANG_SECONDS

from rensei_daemon.core.conditions import Code
from rensei_daemon.core.pending_mutation import PendingMutation
from rensei_daemon.disk.state_directory import StateDirectory
from rensei_daemon.errors import StateInUseError
from rensei_daemon.tasks.state_opening import keep_state_open

if TYPE_CHECKING:
    from tasks.conftest import Home, Running

ORG = "org_acme"
SESSIONS = """
[credentials]
project_id = "proj_a"
[[credentials.sessions]]
id = "build"
env_file = "build.env"
"""


@pytest.fixture
def home(home: "Home") -> "Home":
    """A host with a session, whose journal cannot be opened: something is in its place."""
    home.write(SESSIONS)
    home.platform.set_credential("github", "TOKEN", "one")
    (home.state / "journal.db").mkdir()
    return home


async def test_credentials_and_beats_go_on_without_a_journal(home: "Home") -> None:
    """Mutations wait, which the status shows; they are applied once the state is open."""
    home.platform.configure(deliver_once=True)
    mutation = home.enqueue("project.enable", id="proj_a")
    async with home.daemon() as daemon:
        await daemon.until(lambda: home.env() == 'TOKEN="one"\n' and len(home.beats) > 2)
        storage = [a for (code, _), a in daemon.board.alarms.items() if code == "storage"]
        assert any(
            alarm.message.endswith("; mutations wait until the state can be opened")
            for alarm in storage
        )
        assert "proj_a" not in home.config.read_text().partition("[projects]")[2]
        assert home.mutation(mutation).status == "delivered"
        (home.state / "journal.db").rmdir()
        await daemon.until(lambda: home.mutation(mutation).status == "applied")
        await daemon.until(lambda: not daemon.conditions)
        assert daemon.board.mutations.applied == 1
    assert "[projects]\nproj_a" in home.config.read_text()


def _hardly_ever(low: float, high: float) -> float:
    """Draw retries and intervals that no test waits for."""
    return 1000.0


async def _open_state(daemon: "Running", home: "Home") -> None:
    (home.state / "journal.db").rmdir()
    state = daemon.resources.state
    await anyio.to_thread.run_sync(partial(state.open, now=datetime.now(UTC)))
    daemon.state_opened()


async def test_mutations_are_applied_as_soon_as_the_state_is_open(home: "Home") -> None:
    """No heartbeat has to come first, nor a retry."""
    without = ("heartbeat", "state", "mutations")
    async with (
        home.daemon(draw=_hardly_ever, without=without) as daemon,
        anyio.create_task_group() as tasks,
    ):
        mutation = PendingMutation(id="dmut_1", op="project.enable", params={"id": "p"})
        await daemon.inbox.put([mutation])
        tasks.start_soon(daemon.mutations.run)
        await daemon.until(lambda: (Code.STORAGE, "config") in daemon.board.alarms)
        await _open_state(daemon, home)
        await daemon.until(lambda: daemon.board.mutations.applied)
        tasks.cancel_scope.cancel()


async def test_a_heartbeat_follows_as_soon_as_the_state_is_open(home: "Home") -> None:
    """It carries the outcomes of an earlier run."""
    async with home.daemon(draw=_hardly_ever, without=("state",)) as daemon:
        await daemon.until(lambda: daemon.board.heartbeat.last_ok_at)
        beats = len(home.beats)
        await _open_state(daemon, home)
        await daemon.until(lambda: len(home.beats) > beats)


async def test_what_is_damaged_is_set_aside_as_soon_as_it_is_seen(home: "Home") -> None:
    """Also if that is later than at the start."""
    async with home.daemon(without=("heartbeat", "sessions")) as daemon:
        await daemon.until(lambda: "storage" in daemon.conditions)
        (home.state / "journal.db").rmdir()
        (home.state / "journal.db").write_bytes(b"no database" * 1000)
        await daemon.until(
            lambda: "was set aside as" in daemon.conditions["storage"].message
        )
    assert list(home.state.glob("journal.db.damaged-*"))


async def test_whoever_waits_for_it_is_told(home: "Home", tmp_path: Path) -> None:
    """Their retries may have become rare meanwhile."""
    opened = anyio.Event()
    place = tmp_path / "elsewhere"
    place.touch()
    state = StateDirectory(lock=place / "lock", journal=place / "journal.db")
    async with home.daemon(without=("heartbeat", "sessions", "mutations")) as daemon:
        with state, anyio.fail_after(HANG_SECONDS):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(
                    partial(
                        keep_state_open,
                        state,
                        daemon.board,
                        on_open=opened.set,
                        draw=lambda low, _: low,
                    )
                )
                place.unlink()
                await opened.wait()
                assert state.journal.is_open
                tasks.cancel_scope.cancel()


async def test_the_state_of_another_daemon_is_not_waited_for(home: "Home") -> None:
    """Another daemon that holds the directory is an error at once."""
    async with home.daemon(without=("heartbeat", "sessions", "mutations")):
        with pytest.raises(StateInUseError):
            async with home.daemon():
                pass
