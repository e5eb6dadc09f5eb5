"""Credentials and mutations, by API key."""

from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import httpx
import pytest
from deadlines import HANG_SECONDS

from rensei_daemon.local_platform.running import RunningPlatform

Call = Callable[..., Coroutine[Any, Any, httpx.Response]]

SNAPSHOT = "/api/daemon/credentials/snapshot"
ROTATE = "/api/daemon/credentials/rotate"
STREAM = "/api/daemon/credentials/rotate-stream"
MUTATIONS = "/api/daemon/mutations"
SESSION = {"orgId": "org_acme", "projectId": "proj_a", "sessionId": "build"}
OPS = (
    "project.add",
    "project.remove",
    "project.enable",
    "project.disable",
    "pool.deleted",
    "modelAccess.set",
    "modelAccess.clear",
)


async def beat(call: Call, worker: dict[str, Any], **acks: object) -> list[dict[str, Any]]:
    """Beat once, and return the mutations that are pending."""
    path = f"/api/workers/{worker['workerId']}/heartbeat"
    body = {"activeCount": 0, **acks}
    answer = await call("POST", path, worker["runtimeToken"], body)
    pending: list[dict[str, Any]] = answer.json()["pendingMutations"]
    return pending


async def enqueue(call: Call, key: str, host_id: str, op: str = "project.remove") -> str:
    """Enqueue one mutation, and return its id."""
    body = {"workerHostId": host_id, "op": op, "params": {"id": "proj_a"}}
    answer = await call("POST", MUTATIONS, key, body)
    mutation_id: str = answer.json()["mutation"]["id"]
    return mutation_id


async def test_a_snapshot_merges_what_the_session_sees(
    platform: RunningPlatform, call: Call, key: str
) -> None:
    """Org, project and environment are merged flat; production is the default."""
    state = platform.state
    state.set_credential("acme", "k", "A", "org")
    state.set_credential("acme", "k", "B", "org")
    state.set_credential("acme", "k", "B", "project", project_id="proj_a")
    state.set_credential("acme", "k", "C", "production", env_name="production")
    state.set_credential("acme", "k", "C", "staging", env_name="staging")
    state.set_credential("acme", "k", "WORKER_API_KEY", "blocked")
    answer = (await call("POST", SNAPSHOT, key, SESSION)).json()
    assert answer["env"] == {"A": "org", "B": "project", "C": "production"}
    assert answer.keys() == {"env", "refreshUntil"}
    staging = SESSION | {"projectId": "proj_b", "envName": "staging"}
    answer = (await call("POST", SNAPSHOT, key, staging)).json()
    assert answer["env"] == {"A": "org", "B": "org", "C": "staging"}


async def test_a_lone_surrogate_goes_over_the_wire(
    platform: RunningPlatform, call: Call, key: str
) -> None:
    """A value no UTF-8 can hold is sent as JSON's escape, and breaks nothing."""
    platform.state.set_credential("acme", "k", "A", "\ud800")
    answer = await call("POST", SNAPSHOT, key, SESSION)
    assert b'"\\ud800"' in answer.content


@pytest.mark.parametrize("path", [SNAPSHOT, ROTATE])
async def test_the_wall_between_tenants(
    platform: RunningPlatform, call: Call, key: str, foreign_key: str, path: str
) -> None:
    """A key of one org gets nothing of another: 403."""
    platform.state.set_credential("acme", "k", "A", "secret")
    answer = await call("POST", path, foreign_key, SESSION | {"kind": "k"})
    assert answer.status_code == 403
    assert answer.json() == {"error": "Organization mismatch"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", SNAPSHOT),
        ("POST", ROTATE),
        ("GET", f"{STREAM}?sessionId=build"),
        ("GET", f"{MUTATIONS}?workerHostId=host_1"),
        ("POST", MUTATIONS),
        ("DELETE", f"{MUTATIONS}/dmut_1"),
    ],
)
async def test_only_an_rsk_key_opens_api_daemon(
    platform: RunningPlatform,
    call: Call,
    worker: dict[str, Any],
    method: str,
    path: str,
) -> None:
    """No bearer, a runtime token, and a legacy key are all a 401."""
    legacy = platform.state.add_key("acme", token="rsp_live_1")
    for bearer in (None, worker["runtimeToken"], legacy, "rsk_live_unknown"):
        answer = await call(method, path, bearer, SESSION if method == "POST" else None)
        assert (answer.status_code, answer.json()) == (401, {"error": "Unauthorized"})


async def test_a_stale_token_is_sent_to_the_login_page(
    platform: RunningPlatform, call: Call, worker: dict[str, Any]
) -> None:
    """A snapshot with an expired runtime token is a redirect to a page for people."""
    platform.state.expire_tokens()
    answer = await call("POST", SNAPSHOT, worker["runtimeToken"], SESSION)
    assert (answer.status_code, answer.headers["location"]) == (307, "/login")
    answer = await call("POST", "/login", None, SESSION)
    assert answer.headers["content-type"].startswith("text/html")


async def test_a_snapshot_of_nowhere_is_refused(call: Call, key: str) -> None:
    """A snapshot needs an org, and a project or a session."""
    for body, error in (
        ({}, "orgId is required"),
        ({"orgId": "org_acme"}, "projectId or sessionId is required"),
    ):
        answer = await call("POST", SNAPSHOT, key, body)
        assert (answer.status_code, answer.json()) == (400, {"error": error})


async def test_a_rotation_brings_new_values(platform: RunningPlatform, call: Call) -> None:
    """Any role may rotate; every value of the kind is new; no stream is no error."""
    state = platform.state
    state.add_org("acme", id="org_acme")
    key = state.add_key("acme", "auditor")
    state.set_credential("acme", "github", "A", "ghp_abc")
    state.set_credential("acme", "github", "B", "old")
    state.set_credential("acme", "github", "B", "staged", is_staged=True)
    state.set_credential("acme", "other", "C", "untouched")
    rotate = {"orgId": "org_acme", "kind": "github"}
    answer = (await call("POST", ROTATE, key, rotate)).json()
    assert answer.pop("rotatedAt").endswith("Z")
    assert answer == {"ok": True, "kind": "github", "sessionCount": 0}
    env = (await call("POST", SNAPSHOT, key, SESSION)).json()["env"]
    assert env.pop("A") not in ("ghp_abc", None)
    assert env == {"B": "staged", "C": "untouched"}


async def test_an_unknown_kind_is_not_found(call: Call, key: str) -> None:
    """A kind that is not configured for the org is a 404."""
    answer = await call("POST", ROTATE, key, {"orgId": "org_acme", "kind": "github"})
    assert answer.status_code == 404
    assert answer.json() == {"error": "Credential kind github not found"}


async def test_the_audit_has_names_and_no_values(
    platform: RunningPlatform, call: Call, key: str
) -> None:
    """Each use is in the audit after its answer: by whom, of what, never a value."""
    platform.state.set_credential("acme", "github", "A", "hush-hush")
    await call("POST", SNAPSHOT, key, SESSION)
    await call("POST", ROTATE, key, {"orgId": "org_acme", "kind": "github"})
    with anyio.fail_after(HANG_SECONDS):
        await platform.until(lambda state: len(state.audit) == 2)
    audit = platform.state.audit
    assert [(entry.actor, entry.action) for entry in audit] == [
        ("ada", "credentials.snapshot"),
        ("ada", "credentials.rotate"),
    ]
    assert audit[0].detail["names"] == audit[1].detail["names"] == ["A"]
    assert "hush-hush" not in repr(audit)


@pytest.mark.parametrize("op", OPS)
async def test_a_mutation_is_enqueued(
    platform: RunningPlatform, call: Call, key: str, op: str
) -> None:
    """All seven ops are taken; the answer shows the pending mutation whole."""
    host = platform.state.add_host("acme", "h1")
    body = {"workerHostId": host.id, "op": op, "params": {"id": "proj_a"}}
    answer = await call("POST", MUTATIONS, key, body)
    mutation = answer.json()["mutation"]
    assert mutation.pop("id").startswith("dmut_")
    assert mutation.pop("createdAt").endswith("Z")
    assert mutation == {
        "orgId": "org_acme",
        "workerHostId": host.id,
        "op": op,
        "params": {"id": "proj_a"},
        "status": "pending",
        "requestedBy": "ada",
        "deliveredAt": None,
        "cancelledAt": None,
    }


@pytest.mark.parametrize(
    ("role", "status"),
    [("owner", 200), ("admin", 200), ("member", 403), ("auditor", 403)],
)
async def test_only_an_admin_or_owner_enqueues(
    platform: RunningPlatform, call: Call, role: str, status: int
) -> None:
    """The role of the key's owner decides."""
    platform.state.add_org("acme")
    host = platform.state.add_host("acme", "h1")
    key = platform.state.add_key("acme", role)
    body = {"workerHostId": host.id, "op": "modelAccess.clear", "params": {}}
    assert (await call("POST", MUTATIONS, key, body)).status_code == status


@pytest.mark.parametrize(
    ("change", "status", "error"),
    [
        ({"op": "session.kill"}, 400, f"op must be one of: {', '.join(OPS)}"),
        ({"op": None}, 400, "op is required"),
        ({"params": None}, 400, "params must be an object"),
        ({"workerHostId": None}, 400, "workerHostId is required"),
        ({"workerHostId": "wkr_1"}, 404, "Host not found"),
    ],
)
async def test_a_wrong_mutation_is_refused(
    platform: RunningPlatform,
    call: Call,
    key: str,
    change: dict[str, Any],
    status: int,
    error: str,
) -> None:
    """What cannot be enqueued says why, and is not."""
    host = platform.state.add_host("acme", "h1")
    body = {"workerHostId": host.id, "op": "project.add", "params": {}} | change
    answer = await call("POST", MUTATIONS, key, body)
    assert (answer.status_code, answer.json()) == (status, {"error": error})
    assert not platform.state.mutations


async def test_a_foreign_host_is_no_host(
    platform: RunningPlatform, call: Call, key: str, foreign_key: str
) -> None:
    """A host of another org is not found, neither to enqueue nor to list."""
    host = platform.state.add_host("acme", "h1")
    body = {"workerHostId": host.id, "op": "project.add", "params": {}}
    answer = await call("POST", MUTATIONS, foreign_key, body)
    assert answer.status_code == 404
    answer = await call("GET", f"{MUTATIONS}?workerHostId={host.id}", foreign_key)
    assert (answer.status_code, answer.json()) == (404, {"error": "Host not found"})


async def test_the_list_is_newest_first_and_limited(
    platform: RunningPlatform, call: Call, key: str
) -> None:
    """A hundred rows unless asked otherwise, the latest first, of one host only."""
    host = platform.state.add_host("acme", "h1")
    other = platform.state.add_host("acme", "h2")
    ids = [
        platform.state.enqueue(host.id, "project.remove", {"id": str(n)}).id
        for n in range(101)
    ]
    platform.state.enqueue(other.id, "project.remove", {"id": "other"})

    async def listed(limit: str) -> list[str]:
        path = f"{MUTATIONS}?workerHostId={host.id}{limit}"
        answer = await call("GET", path, key)
        return [mutation["id"] for mutation in answer.json()["mutations"]]

    assert await listed("") == ids[:0:-1]
    assert await listed("&limit=1") == [ids[-1]]
    assert await listed("&limit=500") == ids[::-1]


@pytest.mark.parametrize("limit", ["0", "501", "-1", "1.5", "ten", "", "9" * 5000, "٣"])
async def test_a_limit_out_of_bounds_is_refused(
    platform: RunningPlatform, call: Call, key: str, limit: str
) -> None:
    """The limit is 1 to 500, and nothing else."""
    host = platform.state.add_host("acme", "h1")
    answer = await call(
        "GET", MUTATIONS, key, params={"workerHostId": host.id, "limit": limit}
    )
    assert answer.status_code == 400
    assert answer.json() == {"error": "limit must be between 1 and 500"}


async def test_a_mutation_is_delivered_until_it_is_acked(
    platform: RunningPlatform, call: Call, key: str, worker: dict[str, Any]
) -> None:
    """Every beat carries what is owed, in order; an ack, good or bad, ends it."""
    host_id = platform.state.host("h1").id
    first = await enqueue(call, key, host_id)
    second = await enqueue(call, key, host_id)
    pending = await beat(call, worker)
    assert pending[0].pop("requestedAt").endswith("Z")
    assert pending[0] == {
        "id": first,
        "op": "project.remove",
        "params": {"id": "proj_a"},
        "requestedBy": "ada",
    }
    assert [m["id"] for m in await beat(call, worker)] == [first, second]
    failures = [{"id": second, "error": "no"}]
    assert not await beat(call, worker, appliedMutations=[first], mutationFailures=failures)
    assert [m.status for m in platform.state.mutations] == ["applied", "failed"]
    assert [(a.mutation_id, a.error) for a in platform.state.acks] == [
        (first, None),
        (second, "no"),
    ]


async def test_the_first_ack_counts(
    platform: RunningPlatform, call: Call, key: str, worker: dict[str, Any]
) -> None:
    """A repeated ack is kept as heard, and changes nothing."""
    mutation = await enqueue(call, key, platform.state.host("h1").id)
    await beat(call, worker)
    await beat(call, worker, appliedMutations=[mutation, mutation])
    await beat(call, worker, mutationFailures=[{"id": mutation, "error": "late"}])
    assert platform.state.mutations[0].status == "applied"
    assert [ack.error for ack in platform.state.acks] == [None, None, "late"]


async def test_an_ack_of_what_was_not_delivered_is_nothing(
    platform: RunningPlatform, call: Call, key: str, worker: dict[str, Any]
) -> None:
    """An undelivered, a foreign and an unknown mutation are not settled by an ack."""
    other = platform.state.add_host("acme", "h2")
    mine = await enqueue(call, key, platform.state.host("h1").id)
    theirs = await enqueue(call, key, other.id)
    pending = await beat(call, worker, appliedMutations=[mine, theirs, "dmut_none"])
    assert [mutation["id"] for mutation in pending] == [mine]
    assert [m.status for m in platform.state.mutations] == ["delivered", "pending"]


async def test_a_pending_mutation_can_be_cancelled(
    platform: RunningPlatform, call: Call, key: str, worker: dict[str, Any]
) -> None:
    """A cancelled mutation is never delivered, and stays cancelled."""
    mutation = await enqueue(call, key, platform.state.host("h1").id)
    for _ in range(2):
        answer = await call("DELETE", f"{MUTATIONS}/{mutation}", key)
        assert (answer.status_code, answer.json()) == (200, {"cancelled": True})
    assert not await beat(call, worker)
    assert platform.state.mutations[0].status == "cancelled"


async def test_delivery_closes_the_cancel_window(
    platform: RunningPlatform, call: Call, key: str, worker: dict[str, Any]
) -> None:
    """Once a beat has picked it up, a mutation cannot be cancelled: 409."""
    host_id = platform.state.host("h1").id
    mutation = await enqueue(call, key, host_id)
    await beat(call, worker)
    answer = await call("DELETE", f"{MUTATIONS}/{mutation}", key)
    assert answer.status_code == 409
    assert answer.json() == {"cancelled": False, "reason": "already_delivered"}
    listed = await call("GET", f"{MUTATIONS}?workerHostId={host_id}", key)
    assert listed.json()["mutations"][0]["deliveredAt"].endswith("Z")


async def test_a_foreign_mutation_cannot_be_cancelled(
    platform: RunningPlatform, call: Call, key: str, foreign_key: str
) -> None:
    """Unknown and foreign are the same 404."""
    mutation = await enqueue(call, key, platform.state.add_host("acme", "h1").id)
    for path, bearer in ((mutation, foreign_key), ("dmut_none", key)):
        answer = await call("DELETE", f"{MUTATIONS}/{path}", bearer)
        assert answer.status_code == 404
        assert answer.json() == {"error": "Mutation not found"}


async def test_other_errors_look_alike(call: Call) -> None:
    """An unknown path and a wrong method are JSON errors too."""
    answer = await call("GET", "/api/nowhere")
    assert (answer.status_code, answer.json()) == (404, {"error": "Not Found"})
    answer = await call("PUT", MUTATIONS)
    assert (answer.status_code, answer.json()) == (405, {"error": "Method Not Allowed"})
    assert (await call("GET", f"{MUTATIONS}/")).status_code == 404
