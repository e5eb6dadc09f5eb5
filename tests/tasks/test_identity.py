"""The identity is saved on disk, and registered with the projects of the file."""

import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
import pytest
from boards import empty_board
from deadlines import HANG_SECONDS

from rensei_daemon.core.worker import Worker
from rensei_daemon.disk.identity_file import IdentityFile
from rensei_daemon.tasks.identity import IdentitySaver

if TYPE_CHECKING:
    from tasks.conftest import Home

OLD, NEW = Worker(id="wkr_old", machine_id="m"), Worker(id="wkr_new", machine_id="m")


class SlowDisk(IdentityFile):
    """Takes its time with the old worker."""

    def __init__(self, place: Path) -> None:
        super().__init__(place / "identity.json", place / "token")
        self.began, self.may_end = threading.Event(), threading.Event()

    def save(self, worker: Worker) -> None:
        """Save the worker; the old one once it is let."""
        if worker is OLD:
            self.began.set()
            assert self.may_end.wait(HANG_SECONDS)
        super().save(worker)


async def test_a_slow_save_does_not_come_out_over_a_newer_one(tmp_path: Path) -> None:
    """Otherwise the next daemon would start with an outdated identity."""
    disk = SlowDisk(tmp_path)
    board = empty_board()
    safe = IdentitySaver(disk, board, register_secrets=lambda _: None)
    with anyio.fail_after(HANG_SECONDS):
        async with anyio.create_task_group() as saving:
            saving.start_soon(safe.save, OLD)
            await anyio.to_thread.run_sync(disk.began.wait)
            saving.start_soon(safe.save, NEW)
            await anyio.wait_all_tasks_blocked()
            disk.may_end.set()
    saved = disk.read()
    assert saved is not None
    assert saved.id == "wkr_new"


PROJECTS = '[projects]\nproj_a = { repositories = ["https://github.com/o/a"] }\n'


def _registered(home: "Home") -> list[list[str]]:
    """Return the project ids of each registration, in order."""
    return [body["projectIds"] for body in home.platform.log.registrations]


def _mirrors(home: "Home", count: int) -> bool:
    return len(home.host.mirror["enabledProjectIds"]) == count


def _has_registered(home: "Home", expected: list[list[str]], beats: int) -> bool:
    return len(home.beats) >= beats and _registered(home) == expected


async def test_a_changed_project_set_registers_anew(home: "Home") -> None:
    """Also after the last project is gone, and with the new worker id."""
    home.write(PROJECTS)
    async with home.daemon(register_every=0.01) as daemon:
        await daemon.until(lambda: _registered(home) == [["proj_a"]])
        home.enqueue("project.disable", id="proj_a")
        await daemon.until(lambda: _registered(home) == [["proj_a"], []])
        await daemon.until(lambda: daemon.board.worker.worker_id == home.host.worker_id)


async def test_changes_within_a_minute_are_registered_together(home: "Home") -> None:
    """The first change registers at once; later ones wait for the minute."""
    async with home.daemon() as daemon:
        await daemon.until(lambda: home.beats)
        for number in range(3):
            home.enqueue("project.enable", id=f"proj_{number}")
            await daemon.until(partial(_mirrors, home, number + 1))
        assert _registered(home) == [[], ["proj_0"]]


async def test_a_change_while_no_daemon_ran_is_registered(home: "Home") -> None:
    """The registered set is saved; the same set does not register again."""
    for text, expected in (
        (PROJECTS, [["proj_a"]]),
        (PROJECTS, [["proj_a"]]),
        ("", [["proj_a"], []]),
    ):
        home.write(text)
        beats = len(home.beats)
        async with home.daemon() as daemon:
            await daemon.until(partial(_has_registered, home, expected, beats + 2))


async def test_a_registration_that_fails_is_tried_again(home: "Home") -> None:
    """It is retried until the platform has accepted the set."""
    async with home.daemon(register_every=0.01) as daemon:
        await daemon.until(lambda: home.beats)
        home.platform.faults.add("POST", "/api/workers/register", status=503, times=3)
        home.write(PROJECTS)
        await daemon.until(lambda: _registered(home) == [[], ["proj_a"]])


@pytest.mark.parametrize("status", [200, 201])
async def test_a_bare_grant_with_a_receipt_is_enough(home: "Home", status: int) -> None:
    """Without interval or expiry; the receipt has the host id of mutations."""
    receipt = {"scope": "host", "workerHostId": "host_7", "adoptionRevision": 3}
    home.platform.faults.add(
        "POST",
        "/api/workers/register",
        status=status,
        body={"workerId": "wkr_x", "runtimeToken": "a.b.c", "sessionShim": receipt},
    )
    async with home.daemon() as daemon:
        await daemon.until(lambda: daemon.identity.worker)
        worker = daemon.identity.worker
        assert worker is not None
        assert (worker.id, worker.host_id) == ("wkr_x", "host_7")
        await daemon.until(lambda: daemon.board.worker.worker_host_id == "host_7")
