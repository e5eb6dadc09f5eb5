"""Beats and snapshots, asked of a server that answers as it likes."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from rensei_daemon.core.heartbeat import Beat
from rensei_daemon.core.session import Session
from rensei_daemon.platform_api.client import PlatformClient
from rensei_daemon.platform_api.http import Http
from rensei_daemon.platform_api.identity import Identity

if TYPE_CHECKING:
    from platform_api.conftest import FaultServer, Safe

KEY = "rsk_live_" + "c0ffee" * 10 + "beef"
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJvcmciOiJvcmdfMSJ9.c2lnbmF0dXJlLW9uZQ"

Say = Callable[..., bytes]
Identify = Callable[..., Identity]


def _enrolled(say: Say) -> bytes:
    return say(
        200,
        {
            "workerId": "wkr_1",
            "heartbeatInterval": 1500,
            "pollInterval": 5000,
            "runtimeToken": TOKEN,
            "runtimeTokenExpiresAt": "2026-09-01T01:00:00Z",
        },
    )


async def test_the_first_beat_registers_and_then_beats(
    server: "FaultServer",
    http: Http,
    say: Say,
    identify: Identify,
    safe: "Safe",
    beat: Beat,
) -> None:
    """A host without a worker registers, keeps the worker, and beats with its token."""
    server.plan("register", _enrolled(say))
    server.plan(
        "heartbeat", say(200, {"acknowledged": True, "hostStatus": {"status": "ok"}})
    )
    identity = identify()
    answer = await PlatformClient(http, identity).heartbeat(beat)
    assert answer.worker_id == "wkr_1"
    assert answer.host_status is not None
    assert answer.host_status.is_ok
    assert [r.path for r in server.received] == [
        "/api/workers/register",
        "/api/workers/wkr_1/heartbeat",
    ]
    assert [r.bearer for r in server.received] == [KEY, TOKEN]
    assert identity.org_id == "org_1"
    assert [w.heartbeat_seconds for w in safe.saved] == [1.5]


async def test_a_snapshot_names_its_session_whole(
    server: "FaultServer", http: Http, say: Say, identify: Identify
) -> None:
    """All four fields are sent, with the key, and the delay goes by the answer's Date."""
    server.plan(
        "snapshot",
        say(
            200,
            {"env": {"A": "1", "B": 2}, "refreshUntil": "2026-06-02T13:00:00Z"},
            date="Tue, 02 Jun 2026 12:50:00 GMT",
        ),
    )
    session = Session(id="build", project_id="proj_1", org_id="org_9")
    found = await PlatformClient(http, identify()).snapshot(session)
    assert (dict(found.env), found.dropped) == ({"A": "1"}, ("B",))
    assert found.refresh_in_seconds == 570
    [request] = server.received
    assert request.bearer == KEY
    assert request.json == {
        "orgId": "org_9",
        "projectId": "proj_1",
        "envName": "production",
        "sessionId": "build",
    }
