"""What an operator asks of the daemon: the sync verb, over the loops themselves."""

from typing import TYPE_CHECKING

import anyio
import pytest
from deadlines import HANG_SECONDS
from faults import Hold

from rensei_daemon.control_api.schema import SYNC, Synced
from rensei_daemon.control_api.wire import Request
from rensei_daemon.core.scrub import Fingerprints
from rensei_daemon.core.snapshot_schedule import SnapshotReason
from rensei_daemon.errors import ControlRefusedError
from rensei_daemon.routes.control import SYNCS_AT_ONCE, ControlRoutes
from rensei_daemon.sockets.peer import Peer
from rensei_daemon.tasks.reload import reload

if TYPE_CHECKING:
    from tasks.conftest import Home, Running

ORG = "org_acme"
SNAPSHOT = "/api/daemon/credentials/snapshot"
SESSION = """
[credentials]
project_id = "proj_a"
[[credentials.sessions]]
id = "build"
"""


def _verbs(daemon: "Running") -> ControlRoutes:
    return ControlRoutes(
        daemon.board,
        daemon.heartbeat,
        daemon.wake_heartbeat,
        daemon.sessions,
        lambda: reload(daemon.configuration, daemon.board),
        Fingerprints(b"key"),
        daemon.log_level,
    )


async def _sync(daemon: "Running", verbs: ControlRoutes | None = None) -> Synced:
    request = Request(peer=Peer(uid=0, pid=1))
    verbs = verbs or _verbs(daemon)
    with anyio.fail_after(HANG_SECONDS):
        found: Synced = await verbs.routes()[SYNC](request)
    return found


@pytest.mark.slow
async def test_a_sync_brings_a_beat_and_new_values(home: "Home") -> None:
    """Values changed upstream are here when it returns, and it names them."""
    home.write(SESSION)
    home.platform.set_credential("github", "TOKEN", "one")
    home.platform.configure(heartbeat_interval_ms=300_000)
    async with home.daemon() as daemon:
        await daemon.until(lambda: daemon.board.sessions and daemon.session.generation)
        await daemon.until(lambda: daemon.session.stream == "live" and home.beats)
        home.platform.set_credential("github", "TOKEN", "two")
        count = len(home.beats)
        assert await _sync(daemon) == {
            "beat_error": None,
            "beat_failure": None,
            "sessions": [
                {
                    "id": "build",
                    "generation": 2,
                    "changed": ["TOKEN"],
                    "error": None,
                    "failure": None,
                }
            ],
        }
        assert len(home.beats) > count


async def test_a_sync_does_not_take_an_older_answer_for_its_own(home: "Home") -> None:
    """A snapshot that was in progress may have been read too early."""
    home.write(SESSION)
    home.platform.set_credential("github", "TOKEN", "one")
    async with home.daemon() as daemon:
        await daemon.until(lambda: daemon.board.sessions and daemon.session.generation)
        await daemon.until(lambda: daemon.session.stream == "live")
        hold = home.platform.faults.hold("POST", SNAPSHOT)
        daemon.sessions.rotations[0].request_snapshot(SnapshotReason.EVENT)
        await hold.until_ready()
        home.platform.set_credential("github", "TOKEN", "two")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_release_when_blocked, hold)
            found = await _sync(daemon)
        assert found["sessions"][0]["changed"] == ["TOKEN"]


async def _release_when_blocked(hold: Hold) -> None:
    await anyio.wait_all_tasks_blocked()
    hold.release()


async def test_a_sync_says_what_failed(home: "Home") -> None:
    """It reports the errors of heartbeat and sessions without waiting for a retry."""
    home.write(SESSION)
    async with home.daemon() as daemon:
        await daemon.until(lambda: daemon.board.sessions and daemon.session.generation)
        await daemon.until(lambda: daemon.session.stream == "live" and home.beats)
        for path in (SNAPSHOT, "/api/workers/wkr_"):
            home.platform.faults.add("POST", path, status=503, times=10**6)
        found = await _sync(daemon)
    assert found["beat_error"] is not None
    assert "503" in found["beat_error"]
    error = found["sessions"][0]["error"]
    assert error is not None
    assert "503" in error
    kinds = found["beat_failure"], found["sessions"][0]["failure"]
    assert kinds == ("unavailable", "unavailable")


async def test_syncs_do_not_pile_up_while_the_platform_hangs(home: "Home") -> None:
    """Each takes a slot of the control socket, which others need."""
    home.write(SESSION)
    async with home.daemon() as daemon:
        await daemon.until(lambda: daemon.board.sessions and daemon.session.refreshed_at)
        verbs = _verbs(daemon)
        hold = home.platform.faults.hold("POST", SNAPSHOT)
        async with anyio.create_task_group() as tasks:
            for _ in range(SYNCS_AT_ONCE):
                tasks.start_soon(_sync, daemon, verbs)
            await hold.until_ready()
            with pytest.raises(ControlRefusedError, match="8 syncs are running already"):
                await _sync(daemon, verbs)
            hold.release()
        await _sync(daemon, verbs)
