"""The platform's list of a host's projects follows the file, by registration too."""

from functools import partial
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tasks.conftest import Home

PROJECTS = '[projects]\nproj_a = { repositories = ["https://github.com/o/a"] }\n'


def _registered(home: "Home") -> list[list[str]]:
    """Return the project ids of each registration, in order."""
    workers = home.platform.state.workers
    return [worker.registration["projectIds"] for worker in workers]


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
