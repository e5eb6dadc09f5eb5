"""Heartbeats and snapshots, with a scripted server."""

import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from rensei_daemon.core.heartbeat import Beat
from rensei_daemon.core.session import Session
from rensei_daemon.core.worker import Worker
from rensei_daemon.errors import (
    PlatformError,
    RefusedError,
    TransientError,
    UnauthorizedError,
)
from rensei_daemon.platform_api.client import PlatformClient
from rensei_daemon.platform_api.http import Http
from rensei_daemon.platform_api.identity import Identity

if TYPE_CHECKING:
    from platform_api.conftest import FaultServer, Safe

KEY = "rsk_live_" + "c0ffee" * 10 + "beef"
NEW_KEY = "rsk_live_" + "decade" * 10 + "beef"
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJvcmciOiJvcmdfMSJ9.c2lnbmF0dXJlLW9uZQ"
NEW_TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJvcmciOiJvcmdfMSJ9.c2lnbmF0dXJlLXR3bw"
SAVED = Worker(id="wkr/1", machine_id="mid_1", token=TOKEN)
SESSION = Session(id="build", project_id="proj_1")

Identify = Callable[..., Identity]


async def test_the_first_beat_registers_and_then_beats(
    server: "FaultServer", http: Http, identify: Identify, beat: Beat
) -> None:
    """A host without a worker registers, then uses the worker's token."""
    server.plan("register", server.say(200, {"workerId": "wkr_1", "runtimeToken": TOKEN}))
    server.plan("heartbeat", server.say(200, {"hostStatus": {"status": "ok"}}))
    answer = await PlatformClient(http, identify()).heartbeat(beat)
    assert answer.worker_id == "wkr_1"
    assert answer.host_status is not None
    assert [(r.path, r.bearer) for r in server.received] == [
        ("/api/workers/register", KEY),
        ("/api/workers/wkr_1/heartbeat", TOKEN),
    ]


@pytest.mark.parametrize("status", [307, 401, 404])
async def test_a_refused_beat_is_sent_once_more_with_a_fresh_token(
    server: "FaultServer", http: Http, identify: Identify, beat: Beat, status: int
) -> None:
    """After 401, 404 or a redirect the same body, with its acks, is sent once more."""
    server.plan("heartbeat", server.say(status), server.say(200, {}))
    server.plan("refresh-token", server.say(200, {"runtimeToken": NEW_TOKEN}))
    answer = await PlatformClient(http, identify(SAVED)).heartbeat(beat)
    first, second = server.asked("heartbeat")
    assert (first.path, second.path) == ("/api/workers/wkr%2F1/heartbeat",) * 2
    assert (first.bearer, second.bearer) == (TOKEN, NEW_TOKEN)
    assert first.body == second.body
    assert first.json["appliedMutations"] == ["dmut_1"]
    assert answer.worker_id == "wkr/1"


async def test_a_second_refusal_is_told(
    server: "FaultServer", http: Http, identify: Identify, beat: Beat
) -> None:
    """A heartbeat is sent at most twice."""
    server.plan("heartbeat", server.say(401, {"error": f"{TOKEN} or {NEW_TOKEN}"}))
    server.plan("refresh-token", server.say(200, {"runtimeToken": NEW_TOKEN}))
    with pytest.raises(UnauthorizedError) as caught:
        await PlatformClient(http, identify(SAVED)).heartbeat(beat)
    assert len(server.asked("heartbeat")) == 2
    assert "eyJ" not in "".join(traceback.format_exception(caught.value))


async def test_a_forgotten_worker_shows_in_the_answer(
    server: "FaultServer", http: Http, identify: Identify, beat: Beat
) -> None:
    """The answer names the new worker, which must send its report in full."""
    server.plan("wkr%2F1/heartbeat", server.say(404))
    server.plan("wkr_2/heartbeat", server.say(200, {}))
    server.plan("refresh-token", server.say(404))
    server.plan("register", server.say(200, {"workerId": "wkr_2", "runtimeToken": TOKEN}))
    answer = await PlatformClient(http, identify(SAVED)).heartbeat(beat)
    assert answer.worker_id == "wkr_2"


@pytest.mark.parametrize(
    ("status", "error"), [(400, RefusedError), (403, RefusedError), (503, TransientError)]
)
async def test_any_other_failure_waits_for_the_next_beat(
    server: "FaultServer",
    http: Http,
    identify: Identify,
    beat: Beat,
    status: int,
    error: type[PlatformError],
) -> None:
    """Another failure, such as 403, causes no refresh: one request and its error."""
    server.plan("heartbeat", server.say(status))
    with pytest.raises(error):
        await PlatformClient(http, identify(SAVED)).heartbeat(beat)
    assert len(server.received) == 1


@pytest.mark.parametrize("content", [b"", b"OK", b'{"acknowledged": tr', b"<html>", b"[]"])
async def test_an_answer_nobody_can_read_confirms_nothing(
    server: "FaultServer", http: Http, identify: Identify, beat: Beat, content: bytes
) -> None:
    """An unreadable 2xx is retried, so that no ack is lost."""
    server.plan("heartbeat", server.say(200, content=content))
    with pytest.raises(TransientError):
        await PlatformClient(http, identify(SAVED)).heartbeat(beat)


async def test_an_older_platform_is_beaten_to_in_its_own_way(
    server: "FaultServer", http: Http, identify: Identify, beat: Beat
) -> None:
    """If only the older endpoints exist, the heartbeat uses them too."""
    server.plan("/api/", server.say(404))
    body = {"workerId": "wkr_9", "runtimeJwt": TOKEN, "heartbeatIntervalSeconds": 30}
    server.plan("/v1/daemon/register", server.say(200, body))
    server.plan("/v1/daemon/heartbeat", server.say(200, {"ok": True, "serverTimeMs": 1}))
    answer = await PlatformClient(http, identify()).heartbeat(beat)
    assert (answer.worker_id, answer.carried_acks) == ("wkr_9", False)
    request = server.received[-1]
    assert request.bearer == TOKEN
    assert request.json == {
        "workerId": "wkr_9",
        "hostname": "build-01",
        "status": "idle",
        "activeSessions": 0,
        "maxSessions": 4,
        "version": "0.1.0",
        "region": "eu",
        "capabilities": ["local"],
    }


async def test_a_snapshot_names_its_session_whole(
    server: "FaultServer", http: Http, identify: Identify
) -> None:
    """All four fields are sent, with the key; the delay counts from the response's Date."""
    server.plan(
        "snapshot",
        server.say(
            200,
            {"env": {"A": "1", "B": 2}, "refreshUntil": "2026-06-02T13:00:00Z"},
            date="Tue, 02 Jun 2026 12:50:00 GMT",
        ),
    )
    found = await PlatformClient(http, identify(SAVED)).snapshot(SESSION)
    assert (dict(found.env), found.dropped) == ({"A": "1"}, ("B",))
    assert found.refresh_in_seconds == 570
    [request] = server.received
    assert request.bearer == KEY
    assert request.json == {
        "orgId": "org_1",
        "projectId": "proj_1",
        "envName": "production",
        "sessionId": "build",
    }


async def test_a_snapshot_waits_for_the_organisation(
    server: "FaultServer", http: Http, identify: Identify
) -> None:
    """Without an organisation in the settings the host registers first, for its token."""
    server.plan("register", server.say(200, {"workerId": "wkr_1", "runtimeToken": TOKEN}))
    server.plan("snapshot", server.say(200, {"env": {}}))
    await PlatformClient(http, identify()).snapshot(SESSION)
    assert server.received[-1].json["orgId"] == "org_1"


async def test_a_token_without_an_organisation_says_what_to_set(
    server: "FaultServer", http: Http, identify: Identify
) -> None:
    """No request is sent without an organisation."""
    saved = Worker(id="wkr_1", machine_id="mid_1", token="opaque")
    with pytest.raises(TransientError) as caught:
        await PlatformClient(http, identify(saved)).snapshot(SESSION)
    assert "platform.org_id" in caught.value.hint
    assert server.received == []


@pytest.mark.parametrize("status", [307, 401])
async def test_a_refused_snapshot_has_the_key_read_again(
    server: "FaultServer", http: Http, identify: Identify, safe: "Safe", status: int
) -> None:
    """A replaced key is used at once; an unchanged one is not sent twice."""
    server.plan(
        "snapshot", server.say(status), server.say(200, {"env": {}}), server.say(401)
    )
    safe.keys = [KEY, NEW_KEY]
    client = PlatformClient(http, identify(SAVED))
    await client.snapshot(SESSION)
    assert [request.bearer for request in server.received] == [KEY, NEW_KEY]
    with pytest.raises(UnauthorizedError):
        await client.snapshot(SESSION)
    assert len(server.received) == 3
