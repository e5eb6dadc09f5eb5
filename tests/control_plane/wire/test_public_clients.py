"""Requests as the public clients send them, byte for byte, and answers that they decode.

A decoder is written here as those clients have it: the fields that it reads, each with the
one type that it takes. Names that are ids here are placeholders in the public shapes.
"""

import json
import re
from datetime import datetime
from typing import Any

from databases import one_database
from platform_server import ORG, Server

Shape = dict[str, Any]
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)")
GO = {"User-Agent": "rensei-daemon/0.72.48", "Content-Type": "application/json"}

MUTATION: Shape = {
    "id": str,
    "orgId": str,
    "workerHostId": str,
    "op": str,
    "params": dict,
    "status": str,
    "requestedBy": str,
    "createdAt": datetime,
}


def decode(shape: Shape, value: Any) -> None:
    """Raise AssertionError where a decoder of this shape would fail or find nothing."""
    assert isinstance(value, dict)
    for name, wanted in shape.items():
        found = value.get(name)
        if isinstance(wanted, dict):
            decode(wanted, found)
        elif isinstance(wanted, list):
            assert isinstance(found, list), name
            for element in found:
                decode(wanted[0], element)
        elif wanted is datetime:
            assert isinstance(found, str), name
            assert _TIME.fullmatch(found), (name, found)
        else:
            assert type(found) is wanted, (name, found)


async def send(
    server: Server, method: str, path: str, body: str | None, bearer: str | None
) -> Any:
    """Send these bytes, and return the JSON of the answer, which must be 200."""
    headers = dict(GO) | ({"Authorization": f"Bearer {bearer}"} if bearer else {})
    content = None if body is None else body.encode()
    response = await server.http.request(method, path, content=content, headers=headers)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    return json.loads(response.content)


REGISTRATION = (
    '{"machineId":"mid_1","hostname":"h1","capacity":4,"version":"0.1.0",'
    '"capabilities":["local"],"daemonProjects":[{"id":"proj_a","repository":'
    '"https://github.com/o/a"}],"projectIds":["proj_a"],"projectAdmissionVersion":2,'
    '"projectAdmissionMode":"enumerated","region":"eu","hostInfo":{"os":"linux",'
    '"arch":"amd64","cpuCores":16,"startedAt":"2026-09-01T00:00:00Z"}}'
)
BEAT = (
    '{"status":"idle","activeCount":0,"activeInteractiveCount":0,"maxSessions":4,'
    '"load":{"cpu":3.1,"memory":41.0},"loadAverage":{"one":0.1,"five":0.2,"fifteen":0.2},'
    '"allowlistHash":"3e84","allowlist":[{"id":"proj_a","repository":'
    '"https://github.com/o/a"}],"enabledProjectIds":["proj_a"],"projectAdmissionMode":'
    '"enumerated","appliedMutations":["APPLIED"],"mutationFailures":[{"id":"FAILED",'
    '"error":"project.add requires id + repository"}]}'
)
POLICY = (
    '{"workload":"kg-extraction","policy":{"authOrder":["byok","host-session"],"matrix":'
    '{"anthropic":{"byok":{"allowed":true,"host":"vertex","model":"claude-haiku"},'
    '"host-session":{"allowed":false}}}}}'
)
PARAMS = (
    ("project.add", '{"id":"proj_a","repository":"https://github.com/o/a"}'),
    ("project.remove", '{"id":"proj_a"}'),
    ("project.enable", '{"id":"proj_a"}'),
    ("project.disable", '{"id":"proj_a"}'),
    ("pool.deleted", '{"poolId":"pool_a","candidatePoolIds":["pool_b"],"reason":"r"}'),
    ("modelAccess.set", POLICY),
    ("modelAccess.clear", '{"workload":"kg-extraction"}'),
    ("modelAccess.clear", "{}"),
)


async def registered(server: Server) -> tuple[str, str, str]:
    """Register as the Go daemon does; return (worker, token, host)."""
    path = "/api/workers/register"
    answer = await send(server, "POST", path, REGISTRATION, server.key)
    shape = {
        "workerId": str,
        "heartbeatInterval": int,
        "pollInterval": int,
        "runtimeToken": str,
        "runtimeTokenExpiresAt": datetime,
    }
    decode(shape, answer)
    (host,) = (await server.ok("GET", "/api/admin/hosts"))["hosts"]
    return answer["workerId"], answer["runtimeToken"], host["id"]


@one_database
async def test_the_documented_daemon_registers_and_beats(server: Server) -> None:
    """The pair below /v1: the key in the body, and intervals in seconds."""
    body = (
        f'{{"registrationToken":"{server.key}","hostname":"h1","maxAgents":4,'
        '"version":"0.1.0","machineId":"mid_1","region":"eu","capabilities":["local"],'
        '"activeAgentCount":0,"status":"idle"}'
    )
    answer = await send(server, "POST", "/v1/daemon/register", body, None)
    seconds = {"heartbeatIntervalSeconds": int, "pollIntervalSeconds": int}
    decode({"workerId": str, "runtimeJwt": str, **seconds}, answer)
    assert answer["runtimeJwt"].count(".") == 2
    beat = (
        f'{{"workerId":"{answer["workerId"]}","hostname":"h1","status":"idle",'
        '"activeSessions":0,"maxSessions":4,"region":"eu","capabilities":["local"],'
        '"version":"0.1.0"}'
    )
    token = answer["runtimeJwt"]
    answer = await send(server, "POST", "/v1/daemon/heartbeat", beat, token)
    decode({"acknowledged": bool, "serverTime": datetime, "pendingWorkCount": int}, answer)


@one_database
async def test_the_go_daemon_refreshes_and_polls(server: Server) -> None:
    """Its refresh has the registration token and `{}`; its poll has the runtime token."""
    worker, token, _ = await registered(server)
    path = f"/api/workers/{worker}/refresh-token"
    answer = await send(server, "POST", path, "{}", server.key)
    times = {"runtimeTokenExpiresAt": datetime, "expiresAt": datetime}
    decode({"runtimeToken": str, **times}, answer)
    answer = await send(server, "GET", f"/api/workers/{worker}/poll", None, token)
    assert answer == {"work": []}


async def test_the_go_daemon_takes_every_operation(server: Server) -> None:
    """As the operator's client enqueued it; then it acks in a full report."""
    worker, token, host = await registered(server)
    ids = []
    for op, params in PARAMS:
        body = f'{{"workerHostId":"{host}","op":"{op}","params":{params}}}'
        answer = await send(server, "POST", "/api/daemon/mutations", body, server.key)
        decode({"mutation": MUTATION}, answer)
        ids.append(answer["mutation"]["id"])
    status = {
        "status": "pool_deleted",
        "recommendedAction": "Re-bind.",
        "candidatePoolIds": ["pool_b"],
    }
    path = f"/api/admin/hosts/{host}/status"
    await server.ok("PUT", path, {"hostStatus": status})
    path = f"/api/workers/{worker}/heartbeat"
    answer = await send(server, "POST", path, '{"activeCount":0}', token)
    pending = {"id": str, "op": str, "params": dict, "requestedAt": datetime}
    shape: Shape = {
        "acknowledged": bool,
        "serverTime": datetime,
        "pendingWorkCount": int,
        "hostStatus": {"status": str, "recommendedAction": str, "candidatePoolIds": list},
        "pendingMutations": [{**pending, "requestedBy": str}],
    }
    decode(shape, answer)
    told = [(one["id"], one["op"], one["params"]) for one in answer["pendingMutations"]]
    assert told == [
        (id_, op, json.loads(params)) for id_, (op, params) in zip(ids, PARAMS, strict=True)
    ]
    beat = BEAT.replace("APPLIED", ids[0]).replace("FAILED", ids[1])
    answer = await send(server, "POST", path, beat, token)
    assert [one["id"] for one in answer["pendingMutations"]] == ids[2:]
    path = f"/api/daemon/mutations?workerHostId={host}&limit=500"
    answer = await send(server, "GET", path, None, server.key)
    decode({"mutations": [MUTATION]}, answer)
    states = [one["status"] for one in answer["mutations"]]
    assert states == ["delivered"] * 6 + ["failed", "applied"]


@one_database
async def test_the_operators_client_cancels(server: Server) -> None:
    """It reads `cancelled`, and the reason of a 409."""
    _, _, host = await registered(server)
    body = f'{{"workerHostId":"{host}","op":"project.remove","params":{{"id":"proj_a"}}}}'
    answer = await send(server, "POST", "/api/daemon/mutations", body, server.key)
    path = f"/api/daemon/mutations/{answer['mutation']['id']}"
    assert await send(server, "DELETE", path, None, server.key) == {"cancelled": True}
    refused = await server.call("DELETE", path)
    assert refused.status_code == 409
    assert refused.content == b'{"cancelled":false,"reason":"already_delivered"}'


@one_database
async def test_the_credential_clients_snapshot_and_rotate(server: Server) -> None:
    """The four fields of a snapshot, the two of a rotation, as those clients send them."""
    values = {"values": {"GITHUB_TOKEN": "t"}}
    await server.ok("PUT", "/api/admin/credentials/github/values", values)
    body = (
        f'{{"orgId":"{ORG}","projectId":"proj_1","envName":"production",'
        '"sessionId":"sess_1"}'
    )
    path = "/api/daemon/credentials/snapshot"
    answer = await send(server, "POST", path, body, server.key)
    decode({"env": dict, "refreshUntil": datetime}, answer)
    assert answer["env"] == {"GITHUB_TOKEN": "t"}
    body = f'{{"orgId":"{ORG}","kind":"github"}}'
    path = "/api/daemon/credentials/rotate"
    answer = await send(server, "POST", path, body, server.key)
    shape = {"ok": bool, "kind": str, "sessionCount": int, "rotatedAt": datetime}
    decode(shape, answer)


@one_database
async def test_every_refusal_is_an_error_text(server: Server) -> None:
    """The clients print `error`; a stale runtime token is sent to the sign-in page."""
    for bearer, status in (("rsk_live_" + "0" * 64, 401), (None, 401)):
        headers = dict(GO) | ({"Authorization": f"Bearer {bearer}"} if bearer else {})
        refused = await server.http.get(
            "/api/daemon/mutations?workerHostId=host_x", headers=headers
        )
        assert refused.status_code == status
        decode({"error": str}, refused.json())
    stale = await server.call("POST", "/api/daemon/credentials/snapshot", {}, key="a.b.c")
    assert (stale.status_code, stale.headers["location"]) == (307, "/login")
