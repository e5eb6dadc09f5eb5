"""Exactly the sessions of the configuration in force run."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest

from rensei_daemon.core.credential import Credentials, difference
from rensei_daemon.delivery.file_delivery import FileDelivery
from rensei_daemon.session_factory import missing

if TYPE_CHECKING:
    from tasks.conftest import Home

ORG = "org_acme"
SNAPSHOT = "/api/daemon/credentials/snapshot"
IN_DELETE = 0x200
ONLY = ("heartbeat", "mutations")


def _sessions(*ids: str, project: str = "proj_a", more: str = "") -> str:
    text = f'[credentials]\nproject_id = "{project}"\n'
    for id in ids:
        text += f'[[credentials.sessions]]\nid = "{id}"\nenv_file = "{id}.env"\n{more}'
    return text


@pytest.fixture
def home(home: "Home") -> "Home":
    """A host whose projects have different tokens."""
    for project in ("proj_a", "proj_b"):
        home.platform.set_credential("github", "TOKEN", project, project=project)
    return home


async def test_sessions_come_and_go_with_the_file(home: "Home") -> None:
    """An added one starts; a removed one loses file and status; others continue."""
    home.write(_sessions("one"))
    async with home.daemon(without=ONLY) as daemon:
        await daemon.until(lambda: home.env("one.env") == 'TOKEN="proj_a"\n')
        kept = daemon.sessions.rotations[0]
        home.write(_sessions("one", "two"))
        await daemon.until(lambda: home.env("two.env") == 'TOKEN="proj_a"\n')
        home.write(_sessions("one"))
        await daemon.until(lambda: set(daemon.board.sessions) == {"one"})
        assert not (home.runtime / "two.env").exists()
        assert daemon.sessions.rotations == (kept,)
        home.write()
        await daemon.until(lambda: not daemon.board.sessions)
        assert not (home.runtime / "one.env").exists()
        assert not daemon.conditions


async def test_sessions_exist_before_they_send_requests(home: "Home") -> None:
    """Clients and `status` are told of them while the daemon is not ready yet."""
    home.write(_sessions("one"))
    async with home.daemon(without=(*ONLY, "sessions")) as daemon:
        begin = anyio.Event()
        async with anyio.create_task_group() as tasks:
            await tasks.start(daemon.sessions.run, begin)
            await anyio.wait_all_tasks_blocked()
            assert [one.session.id for one in daemon.sessions.rotations] == ["one"]
            assert list(daemon.board.sessions) == ["one"]
            names = {task.name for task in anyio.get_running_tasks()}
            assert "session one" in names
            assert "snapshots of one" not in names
            begin.set()
            await daemon.until(lambda: home.env("one.env") == 'TOKEN="proj_a"\n')
            tasks.cancel_scope.cancel()


async def test_a_changed_session_starts_anew(home: "Home") -> None:
    """The other project's values replace the old ones."""
    home.write(_sessions("one"))
    async with home.daemon(without=ONLY) as daemon:
        await daemon.until(lambda: home.env("one.env") == 'TOKEN="proj_a"\n')
        home.write(_sessions("one", project="proj_b"))
        await daemon.until(lambda: home.env("one.env") == 'TOKEN="proj_b"\n')


async def test_a_group_that_is_not_there_is_refused_before_it_counts(home: "Home") -> None:
    """Running sessions continue, and the error is shown with its hint."""
    home.write(_sessions("one"))
    async with home.daemon(without=ONLY) as daemon:
        await daemon.until(lambda: home.env("one.env") == 'TOKEN="proj_a"\n')
        home.write(_sessions("one", "two", more='group = "no-such-group"\n'))
        await daemon.until(lambda: "config.invalid" in daemon.conditions)
        assert daemon.conditions["config.invalid"].hint == (
            "make it: groupadd --system no-such-group"
        )
        assert set(daemon.board.sessions) == {"one"}
        home.platform.set_credential("github", "TOKEN", "two", project="proj_a")
        home.platform.rotate("github")
        await daemon.until(lambda: home.env("one.env") == 'TOKEN="two"\n')


async def test_a_file_that_cannot_be_taken_away_stops_nobody(home: "Home") -> None:
    """The session ends although its file cannot be removed."""
    home.write(_sessions("one"))
    (home.runtime / "one.env").mkdir()
    async with home.daemon(without=ONLY) as daemon:
        await daemon.until(lambda: "one" in daemon.board.sessions)
        home.write()
        await daemon.until(lambda: not daemon.board.sessions)
        assert not daemon.conditions


@contextmanager
def _no_env_file_deleted(directory: Path) -> Iterator[None]:
    libc = ctypes.CDLL(None)
    with os.fdopen(libc.inotify_init1(os.O_NONBLOCK), "rb", buffering=0) as events:
        assert (
            libc.inotify_add_watch(events.fileno(), os.fsencode(directory), IN_DELETE) > 0
        )
        yield
        assert b".env" not in (events.read(65536) or b"")


async def test_two_sessions_may_exchange_their_files(home: "Home") -> None:
    """Each file gets the other's values; neither is missing in between."""

    def naming(one: str, two: str) -> str:
        return "".join(
            f'[[credentials.sessions]]\nid = "{id}"\n'
            f'project_id = "{project}"\nenv_file = "{file}"\n'
            for id, project, file in (("one", "proj_a", one), ("two", "proj_b", two))
        )

    home.write(naming("x.env", "y.env"))
    async with home.daemon(without=ONLY) as daemon:
        await daemon.until(lambda: home.env("y.env") == 'TOKEN="proj_b"\n')
        with _no_env_file_deleted(home.runtime):
            home.write(naming("y.env", "x.env"))
            await daemon.until(lambda: home.env("x.env") == 'TOKEN="proj_b"\n')
            await daemon.until(lambda: home.env("y.env") == 'TOKEN="proj_a"\n')
        await daemon.until(lambda: not daemon.conditions)
        assert set(daemon.board.sessions) == {"one", "two"}


async def test_what_a_worker_reads_at_its_start_is_named_while_it_is_missing(
    home: "Home",
) -> None:
    """First the snapshot, with its error; then a file that is not written."""
    home.write(_sessions("one"))
    path = home.runtime / "late.env"
    late = FileDelivery(path, mode=0o440, gid=None)
    home.platform.faults.add("POST", SNAPSHOT, status=503, times=1)
    async with home.daemon(without=ONLY) as daemon:
        await daemon.until(lambda: daemon.sessions.rotations)
        (rotation,) = daemon.sessions.rotations
        await daemon.until(lambda: rotation.snapshot_error)
        said = missing(rotation, [late])
        assert said.startswith("no credentials (")
        assert "503" in said
        await daemon.until(lambda: home.env("one.env") == 'TOKEN="proj_a"\n')
        assert missing(rotation, [late]) == f"{path} is not written"
        await late.deliver(rotation.credentials, difference(Credentials(), Credentials()))
        assert missing(rotation, [late]) == ""
