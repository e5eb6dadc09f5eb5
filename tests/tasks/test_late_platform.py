"""A host that boots before its platform answers: values as soon as it does."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import anyio
import pytest
from deadlines import HANG_SECONDS

from rensei_daemon.clock import boot_seconds

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from tasks.conftest import Home, Running

ORG = "org_acme"
ALWAYS = 1_000_000
SESSIONS = """
[credentials]
project_id = "proj_a"
[[credentials.sessions]]
id = "build"
env_file = "build.env"
"""


def _far_off(low: float, high: float) -> float:
    """Draw waits after failures, a beat's jitter included, that no test waits for."""
    return 60.0 if low in (0, 0.5) else low


def _hardly_ever(low: float, high: float) -> float:
    """Draw intervals, too, that no test waits for."""
    return 1000.0


@pytest.fixture
async def home(home: "Home") -> "Home":
    """A host that was well, and has been rebooted: its runtime directory is empty."""
    home.write(SESSIONS)
    home.platform.set_credential("github", "TOKEN", "one")
    async with home.daemon() as daemon:
        await daemon.until(home.env)
    for path in home.runtime.iterdir():
        path.unlink()
    return home


def _keep_organisation(home: "Home") -> None:
    assert json.loads((home.state / "identity.json").read_text())["org_id"] == ORG


def _lose_organisation(home: "Home") -> None:
    """Leave the identity as a version left it that did not keep the organisation."""
    path = home.state / "identity.json"
    saved = json.loads(path.read_text())
    del saved["org_id"]
    path.write_text(json.dumps(saved))


def _has_failed(daemon: "Running") -> bool:
    session = daemon.board.sessions.get("build")
    return bool(
        daemon.board.heartbeat.consecutive_failures
        and session
        and session.snapshot_failure
        and session.stream_failure
    )


@pytest.mark.parametrize("prepare", [_keep_organisation, _lose_organisation])
async def test_values_follow_the_first_good_beat(
    home: "Home", prepare: Callable[["Home"], None]
) -> None:
    """Snapshots, stream and token are retried at once, whatever they wait for."""
    prepare(home)
    for method in ("GET", "POST"):
        home.platform.faults.add(method, "/", status=503, times=ALWAYS)
    async with home.daemon(draw=_far_off) as daemon:
        await daemon.until(lambda: _has_failed(daemon))
        home.platform.faults.clear()
        daemon.wake_heartbeat.set()
        await daemon.until(lambda: daemon.board.heartbeat.last_ok_at)
        with anyio.fail_after(HANG_SECONDS):
            await daemon.until(
                lambda: (
                    home.env() == 'TOKEN="one"\n'
                    and daemon.session.stream == "live"
                    and daemon.identity.worker
                    and daemon.identity.worker.token
                )
            )


async def test_a_wait_that_the_platform_asked_for_is_kept(home: "Home") -> None:
    """A successful heartbeat does not shorten a Retry-After."""
    faults = home.platform.faults
    for method in ("GET", "POST"):
        wait = {"Retry-After": "60"}
        faults.add(method, "/api/daemon/", status=503, headers=wait, times=ALWAYS)
    faults.add("POST", f"/api/workers/{home.host.worker_id}/heartbeat")
    async with home.daemon(draw=_far_off) as daemon:
        await daemon.until(lambda: _has_failed(daemon))
        faults.clear()
        daemon.wake_heartbeat.set()
        beats = len(home.beats)
        await daemon.until(lambda: len(home.beats) >= beats + 5)
        assert home.env() == ""
        assert not home.platform.streams


async def test_a_host_that_was_suspended_looks_at_everything(home: "Home") -> None:
    """A heartbeat and a snapshot at once, and a token refresh if it is due."""
    async with home.daemon(draw=_hardly_ever) as daemon:
        await daemon.until(lambda: home.env() and daemon.board.heartbeat.last_ok_at)
        await daemon.until(
            lambda: daemon.session.stream == "live" and not daemon.session.wanted_for
        )
        beats, refreshed = len(home.beats), daemon.session.refreshed_at
        daemon.host_resumed()
        await daemon.until(
            lambda: len(home.beats) > beats and daemon.session.refreshed_at > refreshed
        )


async def test_a_token_that_grew_old_in_a_suspended_machine_is_refreshed(
    home: "Home",
) -> None:
    """Its age is counted by the boot clock, which counts suspended time."""
    async with home.daemon() as daemon:
        await daemon.until(lambda: daemon.board.heartbeat.last_ok_at and home.env())
        before = daemon.identity.worker
        vars(daemon.identity)["_clock"] = lambda: boot_seconds() + 8 * 3600
        daemon.host_resumed()
        await daemon.until(lambda: daemon.identity.worker != before)
