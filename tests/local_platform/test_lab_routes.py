"""The laboratory door."""

from collections.abc import Callable, Coroutine
from typing import Any

import httpx
import pytest

from rensei_daemon.local_platform.refusal import RefusalError
from rensei_daemon.local_platform.running import RunningPlatform

Call = Callable[..., Coroutine[Any, Any, httpx.Response]]


async def test_a_tenant_is_furnished_over_http(
    platform: RunningPlatform, call: Call
) -> None:
    """Org, key, host, status and credential: what it takes to begin."""

    async def put(what: str, **body: object) -> Any:
        answer = await call("POST", f"/lab/{what}", None, body)
        assert answer.status_code == 200
        return answer.json()

    org = (await put("orgs", name="acme", id="org_acme"))["org"]
    assert org == {"id": "org_acme", "name": "acme"}
    key = (await put("keys", org="acme", role="member", owner="ada"))["key"]
    assert key["token"].startswith("rsk_live_")
    assert len(key["token"]) == len("rsk_live_") + 64
    host = (await put("hosts", org="acme", name="h1"))["host"]
    await put("host-status", host="h1", status="ok", candidatePoolIds=["pool_b"])
    body = {"org": "acme", "kind": "github", "name": "A"}
    await put("credentials", **body, value="1")
    await put("credentials", **body, value="2", staged=True)
    await put("credentials", **body, value="3", projectId="proj_a", envName="dev")
    state = (await call("GET", "/lab/state")).json()
    assert state["orgs"] == [org]
    assert state["hosts"] == [
        host | {"status": {"status": "ok", "candidatePoolIds": ["pool_b"]}}
    ]
    named = {"orgId": "org_acme", "kind": "github", "name": "A"}
    assert state["credentials"] == [
        named | {"projectId": None, "envName": None, "staged": True},
        named | {"projectId": "proj_a", "envName": "dev", "staged": False},
    ]


async def test_what_happened_can_be_read(
    platform: RunningPlatform, call: Call, key: str, worker: dict[str, Any]
) -> None:
    """Registrations, last beats, mutations, acks, audit and live streams are shown."""
    host = platform.state.host("h1")
    mutation = platform.state.enqueue("h1", "project.remove", {"id": "proj_a"})
    path = f"/api/workers/{worker['workerId']}/heartbeat"
    await call("POST", path, key, {"activeCount": 0})
    failures = [{"id": mutation.id, "error": "no"}]
    beat = {"activeCount": 1, "mutationFailures": failures}
    await call("POST", path, key, beat)
    path = "/api/daemon/credentials/snapshot"
    await call("POST", path, key, {"orgId": "org_acme", "sessionId": "build"})
    await platform.until(lambda state: len(state.audit) == 1)
    state = (await call("GET", "/lab/state")).json()
    assert state["registrations"] == 1
    assert state["liveStreams"] == 0
    assert state["hosts"][0]["lastBeat"] == beat
    assert state["mutations"][0]["status"] == "failed"
    assert state["mutations"][0]["error"] == "no"
    ack = {"hostId": host.id, "id": mutation.id, "error": "no"}
    assert [entry | {"at": ""} for entry in state["acks"]] == [ack | {"at": ""}]
    assert state["audit"][0]["action"] == "credentials.snapshot"


async def test_streams_can_be_dropped(call: Call) -> None:
    """The answer says how many there were."""
    assert (await call("DELETE", "/lab/streams")).json() == {"dropped": 0}


@pytest.mark.parametrize(
    ("what", "body", "status", "error"),
    [
        ("orgs", {}, 400, "name is required"),
        ("orgs", {"name": "acme"}, 409, "acme already exists"),
        ("orgs", {"name": "new", "id": "org_acme"}, 409, "org_acme already exists"),
        ("keys", {"org": "nobody", "role": "admin"}, 404, "Org nobody not found"),
        (
            "keys",
            {"org": "acme", "role": "king"},
            400,
            "role must be one of: owner, admin, member, auditor",
        ),
        ("hosts", {"org": "acme", "name": "h1"}, 409, "h1 already exists"),
        ("host-status", {"host": "h2", "status": "ok"}, 404, "Host h2 not found"),
        (
            "host-status",
            {"host": "h1", "candidatePoolIds": "pool_b"},
            400,
            "candidatePoolIds must be a list of ids",
        ),
        (
            "credentials",
            {"org": "acme", "kind": "k", "name": "A"},
            400,
            "value must be a string",
        ),
        (
            "credentials",
            {"org": "acme", "kind": "k", "name": "A", "value": "", "staged": True},
            404,
            "Credential A not found",
        ),
    ],
)
async def test_what_cannot_be_is_refused(
    platform: RunningPlatform,
    call: Call,
    key: str,
    what: str,
    body: dict[str, object],
    status: int,
    error: str,
) -> None:
    """A lab is told what is wrong, in the form of every other error."""
    platform.state.add_host("acme", "h1")
    answer = await call("POST", f"/lab/{what}", None, body)
    assert (answer.status_code, answer.json()) == (status, {"error": error})


@pytest.mark.parametrize("header", ["Origin", "Sec-Fetch-Site"])
async def test_a_browser_is_sent_away(client: httpx.AsyncClient, header: str) -> None:
    """A page that found the port gets nothing: 403."""
    answer = await client.get("/lab/state", headers={header: "http://evil.example"})
    assert answer.status_code == 403
    assert answer.json() == {"error": "/lab is for programs on this host"}


async def test_a_key_must_look_like_one(platform: RunningPlatform) -> None:
    """A key of the lab's own choosing has one of the two known prefixes."""
    platform.state.add_org("acme")
    assert platform.state.add_key("acme", token="rsk_live_1") == "rsk_live_1"
    with pytest.raises(RefusalError, match="a key starts with rsk_live_ or rsp_live_"):
        platform.state.add_key("acme", token="sk_1")
