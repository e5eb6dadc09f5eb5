"""Registering, beating, renewing: the worker's side of the wire."""

import json
from collections.abc import Callable, Coroutine
from typing import Any

import httpx
import pytest

from rensei_daemon.local_platform.running import RunningPlatform, running
from rensei_daemon.local_platform.settings import PlatformSettings

Call = Callable[..., Coroutine[Any, Any, httpx.Response]]

REGISTER = "/api/workers/register"
H1 = {"hostname": "h1", "machineId": "mid_1", "capacity": 4}


async def test_a_host_registers_with_its_key_in_the_header(
    platform: RunningPlatform, call: Call, key: str
) -> None:
    """The answer has a worker id, a token, its end, and intervals in milliseconds."""
    answer = await call("POST", REGISTER, key, H1 | {"region": "eu"})
    body = answer.json()
    assert answer.status_code == 200
    assert body.keys() == {
        "workerId",
        "heartbeatInterval",
        "pollInterval",
        "runtimeToken",
        "runtimeTokenExpiresAt",
    }
    assert body["workerId"].startswith("wkr_")
    assert body["runtimeToken"].count(".") == 2
    assert (body["heartbeatInterval"], body["pollInterval"]) == (200, 5000)
    assert platform.state.workers[0].registration == H1 | {"region": "eu"}


async def test_a_host_registers_with_its_key_in_the_body(
    platform: RunningPlatform, call: Call, key: str
) -> None:
    """The older form counts in whole seconds, and the key is not kept."""
    body = {"registrationToken": key, "hostname": "h1", "maxAgents": 4}
    answer = (await call("POST", "/v1/daemon/register", None, body)).json()
    assert answer["heartbeatIntervalSeconds"] == 1
    assert answer["pollIntervalSeconds"] == 5
    assert answer["runtimeJwt"].count(".") == 2
    assert platform.state.workers[0].registration == {"hostname": "h1", "maxAgents": 4}


@pytest.mark.parametrize(
    ("path", "body", "error"),
    [
        (REGISTER, H1 | {"capacity": 0}, "capacity must be a positive number"),
        (REGISTER, H1 | {"capacity": True}, "capacity must be a positive number"),
        (REGISTER, {"capacity": 1}, "hostname is required"),
        (REGISTER, H1 | {"machineId": 1}, "machineId must be a string"),
        (REGISTER, [], "body must be a JSON object"),
        ("/v1/daemon/register", {}, "registrationToken is required"),
    ],
)
async def test_a_wrong_registration_is_refused(
    call: Call, key: str, path: str, body: object, error: str
) -> None:
    """A 400 says which field is wrong."""
    answer = await call("POST", path, key, body)
    assert (answer.status_code, answer.json()) == (400, {"error": error})


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"a":NaN}', b"\xff", b"[" * 100_000, b"1" * 5000]
)
async def test_what_is_not_json_is_refused(call: Call, key: str, content: bytes) -> None:
    """A body that is no JSON, or too strange to be read, is a 400 and no more."""
    answer = await call("POST", REGISTER, key, content=content)
    assert (answer.status_code, answer.json()) == (400, {"error": "body must be JSON"})


async def test_a_body_too_large_is_refused(call: Call, key: str) -> None:
    """More than 16 MiB is a 413, once it has all been sent."""
    answer = await call("POST", REGISTER, key, content=b" " * (16 * 1024 * 1024 + 1))
    assert (answer.status_code, answer.json()) == (413, {"error": "body too large"})


@pytest.mark.parametrize("bearer", [None, "rsk_live_" + "0" * 64, "a.b.c", "\xe9"])
async def test_an_unknown_key_is_refused(call: Call, bearer: str | None) -> None:
    """Only a key of ours registers a host."""
    answer = await call("POST", REGISTER, bearer, H1)
    assert (answer.status_code, answer.json()) == (401, {"error": "Unauthorized"})
    body = {"registrationToken": bearer or "\ud800", "hostname": "h", "maxAgents": 1}
    answer = await call("POST", "/v1/daemon/register", content=json.dumps(body))
    assert (answer.status_code, answer.json()) == (401, {"error": "Unauthorized"})


async def test_a_revoked_key_is_refused(
    platform: RunningPlatform, call: Call, key: str
) -> None:
    """A key that was revoked is as good as none."""
    platform.state.revoke_key(key)
    assert (await call("POST", REGISTER, key, H1)).status_code == 401


@pytest.mark.parametrize(
    ("again", "same_row"),
    [
        ({"hostname": "renamed", "machineId": "mid_1"}, True),
        ({"hostname": "h1"}, True),
        ({"hostname": "h1", "machineId": "mid_2"}, False),
        ({"hostname": "h2"}, False),
    ],
)
async def test_a_host_keeps_its_row_when_it_registers_anew(
    platform: RunningPlatform,
    call: Call,
    key: str,
    worker: dict[str, Any],
    again: dict[str, str],
    same_row: bool,
) -> None:
    """The row is found by the machine, else by the name; the worker id is a new one."""
    answer = await call("POST", REGISTER, key, again | {"capacity": 1})
    first, second = platform.state.workers
    assert second.id == answer.json()["workerId"] != worker["workerId"]
    assert (second.host_id == first.host_id) is same_row


async def test_a_row_made_in_advance_is_taken_by_name(
    platform: RunningPlatform, call: Call, key: str
) -> None:
    """A host that was put in by name is the one that registers under it."""
    host = platform.state.add_host("acme", "h1")
    await call("POST", REGISTER, key, H1)
    assert [known.id for known in platform.state.hosts] == [host.id]
    assert platform.state.host(host.id).machine_id == "mid_1"


async def test_one_name_in_two_orgs_is_two_hosts(
    platform: RunningPlatform, call: Call, key: str, foreign_key: str
) -> None:
    """Hosts are matched within a tenant only, even on the same machine."""
    await call("POST", REGISTER, key, H1)
    await call("POST", REGISTER, foreign_key, H1)
    assert [host.org_id for host in platform.state.hosts] == ["org_acme", "org_other"]


async def test_a_beat_is_answered(
    platform: RunningPlatform, call: Call, worker: dict[str, Any]
) -> None:
    """A beat is kept as it came; without a host status the answer has none."""
    path = f"/api/workers/{worker['workerId']}/heartbeat"
    beat = {"status": "idle", "activeCount": 0, "maxSessions": 4}
    answer = (await call("POST", path, worker["runtimeToken"], beat)).json()
    assert answer.pop("serverTime").endswith("Z")
    assert answer == {
        "acknowledged": True,
        "pendingWorkCount": 0,
        "pendingMutations": [],
    }
    assert [known.body for known in platform.state.beats] == [beat]
    assert platform.state.host("h1").last_beat == beat


async def test_a_key_may_beat_too(call: Call, key: str, worker: dict[str, Any]) -> None:
    """The registration token is taken for a beat, as the runtime token is."""
    path = f"/api/workers/{worker['workerId']}/heartbeat"
    assert (await call("POST", path, key, {"activeCount": 0})).status_code == 200


async def test_host_status_rides_on_the_beat(
    platform: RunningPlatform, call: Call, worker: dict[str, Any]
) -> None:
    """What the lab says of a host is on every beat until it is taken back."""
    path = f"/api/workers/{worker['workerId']}/heartbeat"
    platform.state.set_host_status(
        "h1", "pool_deleted", recommended_action="move", candidate_pool_ids=["pool_b"]
    )
    for _ in range(2):
        answer = await call("POST", path, worker["runtimeToken"], {"activeCount": 0})
        assert answer.json()["hostStatus"] == {
            "status": "pool_deleted",
            "recommendedAction": "move",
            "candidatePoolIds": ["pool_b"],
        }
    platform.state.set_host_status("h1", None)
    answer = await call("POST", path, worker["runtimeToken"], {"activeCount": 0})
    assert "hostStatus" not in answer.json()


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({}, "activeCount must be a non-negative number"),
        ({"activeCount": -1}, "activeCount must be a non-negative number"),
        (
            {"activeCount": 0, "status": "asleep"},
            "status must be one of: idle, busy, draining",
        ),
        (
            {"activeCount": 0, "appliedMutations": "dmut_1"},
            "appliedMutations must be a list of ids",
        ),
        (
            {"activeCount": 0, "mutationFailures": [{"id": "dmut_1"}]},
            "mutationFailures must be a list of {id, error}",
        ),
    ],
)
async def test_a_wrong_beat_is_refused(
    platform: RunningPlatform,
    call: Call,
    worker: dict[str, Any],
    body: dict[str, Any],
    error: str,
) -> None:
    """A beat with a wrong field is a 400, and changes nothing."""
    path = f"/api/workers/{worker['workerId']}/heartbeat"
    answer = await call("POST", path, worker["runtimeToken"], body)
    assert (answer.status_code, answer.json()) == (400, {"error": error})
    assert not platform.state.beats


async def test_the_older_beat(
    platform: RunningPlatform, call: Call, key: str, worker: dict[str, Any]
) -> None:
    """It takes a runtime token only, of the worker it names; it has no mutations."""
    platform.state.enqueue("h1", "project.remove", {"id": "proj_a"})
    path = "/v1/daemon/heartbeat"
    beat = {"workerId": worker["workerId"], "activeSessions": 0}
    answer = await call("POST", path, worker["runtimeToken"], beat)
    assert answer.json().keys() == {"acknowledged", "serverTime", "pendingWorkCount"}
    assert (await call("POST", path, key, beat)).status_code == 401
    other = beat | {"workerId": "wkr_other"}
    answer = await call("POST", path, worker["runtimeToken"], other)
    assert answer.status_code == 403
    assert platform.state.mutations[0].status == "pending"


@pytest.mark.parametrize("verb", ["heartbeat", "refresh-token"])
class TestWhoMaySpeakForAWorker:
    async def test_a_token_of_another_worker(
        self, call: Call, worker: dict[str, Any], verb: str
    ) -> None:
        """A token's subject must be the worker of the path, known or not: 403."""
        path = f"/api/workers/wkr_other/{verb}"
        answer = await call("POST", path, worker["runtimeToken"], {"activeCount": 0})
        assert answer.status_code == 403
        assert answer.json() == {"error": "Runtime token belongs to another worker"}

    async def test_a_key_for_an_unknown_worker(
        self, call: Call, key: str, verb: str
    ) -> None:
        """A worker nobody registered is a 404."""
        path = f"/api/workers/wkr_other/{verb}"
        answer = await call("POST", path, key, {"activeCount": 0})
        assert answer.status_code == 404
        assert answer.json() == {"error": "Worker not found"}

    async def test_a_worker_the_platform_forgot(
        self,
        platform: RunningPlatform,
        call: Call,
        worker: dict[str, Any],
        verb: str,
    ) -> None:
        """A forgotten worker is unknown, even with a good token: 404."""
        platform.state.forget_worker(worker["workerId"])
        path = f"/api/workers/{worker['workerId']}/{verb}"
        answer = await call("POST", path, worker["runtimeToken"], {"activeCount": 0})
        assert answer.status_code == 404

    async def test_a_key_of_another_org(
        self, call: Call, worker: dict[str, Any], foreign_key: str, verb: str
    ) -> None:
        """The wall between tenants is a 403."""
        path = f"/api/workers/{worker['workerId']}/{verb}"
        answer = await call("POST", path, foreign_key, {"activeCount": 0})
        assert answer.status_code == 403
        assert answer.json() == {"error": "Organization mismatch"}

    async def test_an_expired_token(
        self,
        platform: RunningPlatform,
        call: Call,
        worker: dict[str, Any],
        verb: str,
    ) -> None:
        """An expired token says so; a forged one does not."""
        platform.state.expire_tokens()
        path = f"/api/workers/{worker['workerId']}/{verb}"
        token = worker["runtimeToken"]
        answer = await call("POST", path, token, {"activeCount": 0})
        assert answer.status_code == 401
        assert answer.json() == {"error": "Runtime token expired"}
        answer = await call("POST", path, token[:-4] + "AAAA", {"activeCount": 0})
        assert answer.json() == {"error": "Unauthorized"}


@pytest.mark.parametrize("by_key", [True, False])
async def test_a_token_is_renewed_for_the_same_worker(
    call: Call, key: str, worker: dict[str, Any], by_key: bool
) -> None:
    """Key and token both renew; the new token beats for the same worker."""
    path = f"/api/workers/{worker['workerId']}"
    bearer = key if by_key else worker["runtimeToken"]
    answer = (await call("POST", f"{path}/refresh-token", bearer, {})).json()
    assert answer.keys() == {"runtimeToken", "runtimeTokenExpiresAt"}
    assert answer["runtimeToken"] != worker["runtimeToken"]
    beat = await call(
        "POST", f"{path}/heartbeat", answer["runtimeToken"], {"activeCount": 0}
    )
    assert beat.status_code == 200


async def test_a_token_lives_as_long_as_was_chosen(call: Call) -> None:
    """With a lifetime of nothing, the token has expired when it arrives."""
    settings = PlatformSettings(token_ttl_seconds=0.0)
    async with running(settings) as platform:
        platform.state.add_org("acme")
        key = platform.state.add_key("acme")
        url = platform.url
        worker = (await call("POST", f"{url}{REGISTER}", key, H1)).json()
        path = f"{url}/api/workers/{worker['workerId']}/heartbeat"
        answer = await call("POST", path, worker["runtimeToken"], {"activeCount": 0})
        assert answer.json() == {"error": "Runtime token expired"}
