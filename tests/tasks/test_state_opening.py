"""A disk that does not give the state at the start: a condition, and not the end."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest
from deadlines import HANG_SECONDS

from rensei_daemon.disk.state_directory import StateDirectory
from rensei_daemon.errors import StateInUseError
from rensei_daemon.tasks.state_opening import keep_state_open

if TYPE_CHECKING:
    from tasks.conftest import Home

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
    """Mutations wait and status says so; they are applied once the state is open."""
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
