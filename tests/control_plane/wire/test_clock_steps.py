"""A wall clock that jumps by an hour or a day under a server that runs."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from database_pool import DatabasePool
from platform_server import ORG, Server, Worker, running, serving_replica

from rensei_platform.services.platform import utc_now
from rensei_platform.services.steady_clock import steady
from rensei_platform.settings import ServerSettings

STEPS = (timedelta(hours=1), timedelta(days=1), timedelta(hours=-1), timedelta(days=-1))
CALM = ServerSettings(confirm_seconds=0.05, stop_seconds=0)


def _set_clock(server: Server, ahead: timedelta) -> None:
    object.__setattr__(server.platform, "now", lambda: utc_now() + ahead)


async def _beat(worker: Worker, **body: Any) -> Any:
    """Beat as a daemon does, which has its token renewed when that has expired."""
    path = f"/api/workers/{worker.id}"
    call = worker.server.call
    said = {"activeCount": 0, **body}
    answer = await call("POST", f"{path}/heartbeat", said, key=worker.token)
    if answer.status_code == 401:
        renewed = await worker.server.ok("POST", f"{path}/refresh-token", {})
        worker.token = renewed["runtimeToken"]
        answer = await call("POST", f"{path}/heartbeat", said, key=worker.token)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("step", STEPS, ids=str)
async def test_a_host_goes_on(server: Server, step: timedelta) -> None:
    """It keeps its worker and what it is owed, there and back, and is answered once."""
    worker = await server.register()
    asked = [await worker.enqueue()]
    for ahead in (step, timedelta()):
        _set_clock(server, ahead)
        asked.append(await worker.enqueue())
        owed = (await _beat(worker))["pendingMutations"]
        assert [one["id"] for one in owed] == asked
    assert (await _beat(worker, appliedMutations=asked))["pendingMutations"] == []
    history = await worker.history()
    assert {one["status"] for one in history.values()} == {"applied"}
    assert history.keys() == set(asked)


@pytest.mark.parametrize("step", [*STEPS[:1], *STEPS[2:]], ids=str)
async def test_a_request_that_is_sent_again_is_the_same(
    server: Server, step: timedelta
) -> None:
    """Its key is remembered for a day of the clock, and for longer if that goes back."""
    worker = await server.register()
    body = {"workerHostId": worker.host_id, "op": "project.enable", "params": {"id": "p"}}
    ids = set()
    for ahead in (timedelta(), step, timedelta()):
        _set_clock(server, ahead)
        made = await server.ok(
            "POST", "/api/daemon/mutations", body, headers={"Idempotency-Key": "once"}
        )
        ids.add(made["mutation"]["id"])
    assert len(ids) == 1


@pytest.mark.needs("postgresql")
async def test_rotations_of_servers_whose_clocks_differ(
    pool: DatabasePool, tmp_path: Path
) -> None:
    """One is an hour ahead: times grow strictly, whichever server is asked."""
    with pool.lent() as url:
        async with (
            running(url, tmp_path / "k", CALM) as ahead,
            serving_replica(url, tmp_path / "k", ahead.key, CALM) as right,
        ):
            _set_clock(ahead, timedelta(hours=1))
            values = {"values": {"TOKEN": "t"}}
            await right.ok("PUT", "/api/admin/credentials/github/values", values)
            body = {"orgId": ORG, "kind": "github"}
            times = [
                (await one.ok("POST", "/api/daemon/credentials/rotate", body))["rotatedAt"]
                for one in (right, ahead, right, right, ahead, right)
            ]
    assert times == sorted(set(times))
    assert len(times) == 6


def test_what_cannot_be_undone_follows_no_clock_ahead() -> None:
    """Pruning goes back with the clock, and forward no faster than time goes by."""
    wall, passed = [datetime(2026, 11, 29, tzinfo=UTC)], [100.0]
    read: Callable[[], datetime] = steady(lambda: wall[0], lambda: passed[0])
    begun = wall[0]
    wall[0] = begun + timedelta(days=1)
    passed[0] += 60
    assert read() == begun + timedelta(seconds=60)
    wall[0] = begun - timedelta(days=1)
    assert read() == wall[0]
    wall[0] = begun + timedelta(seconds=120)
    passed[0] += 60
    assert read() == wall[0]
