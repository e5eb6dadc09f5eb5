"""Registration, tokens and the walls between tenants, over the wire."""

import anyio
import httpx
import pytest
from databases import one_database
from platform_server import ORG, Server

from rensei_platform.services.administration import found_org
from rensei_platform.services.limits import MOST_FAILURES


async def test_a_host_registers_again_as_itself(server: Server) -> None:
    """By its machine id; each registration is a new worker of the same host."""
    first, second = await server.register(), await server.register()
    assert (first.host_id, first.id != second.id) == (second.host_id, True)
    other = await server.register("other")
    assert other.host_id != first.host_id
    shown = await server.ok("GET", f"/api/admin/hosts/{first.host_id}")
    assert shown["host"]["registrations"] == 2


async def test_a_host_that_was_added_is_found_by_its_name(server: Server) -> None:
    """It has no machine id yet."""
    await server.ok("POST", "/api/admin/hosts", {"name": "build-07", "id": "host_1"})
    assert (await server.register()).host_id == "host_1"


async def test_a_host_without_a_machine_id_is_its_name(server: Server) -> None:
    """Also when it registers many times at the same moment, before anybody knows it."""

    async def register(name: str) -> None:
        body = {"hostname": name, "capacity": 1}
        await server.ok("POST", "/api/workers/register", body)

    for name in ("build-07", "build-08", "build-09"):
        async with anyio.create_task_group() as tasks:
            for _ in range(12):
                tasks.start_soon(register, name)
    hosts = (await server.ok("GET", "/api/admin/hosts"))["hosts"]
    found = [(host["name"], host["registrations"]) for host in hosts]
    assert found == [("build-07", 12), ("build-08", 12), ("build-09", 12)]


async def test_machines_of_one_name_are_told_apart(server: Server) -> None:
    """One of them is the host that was added, whoever comes first; nobody is mixed up."""
    await server.ok("POST", "/api/admin/hosts", {"name": "build-07", "id": "host_1"})

    async def register(machine: str) -> None:
        body = {"hostname": "build-07", "machineId": machine, "capacity": 1}
        await server.ok("POST", "/api/workers/register", body)

    for _ in range(2):  # each registers again as itself
        async with anyio.create_task_group() as tasks:
            for number in range(10):
                tasks.start_soon(register, f"m{number}")
    hosts = (await server.ok("GET", "/api/admin/hosts"))["hosts"]
    assert sorted(host["machineId"] for host in hosts) == [f"m{n}" for n in range(10)]
    assert {host["registrations"] for host in hosts} == {2}
    assert "host_1" in {host["id"] for host in hosts}


async def test_a_token_is_renewed(server: Server) -> None:
    """By token or key; it speaks for its own worker only."""
    host, other = await server.register(), await server.register("other")
    path = f"/api/workers/{host.id}/refresh-token"
    for key in (host.token, server.key):
        renewed = await server.ok("POST", path, {}, key=key)
        assert renewed["runtimeTokenExpiresAt"] == renewed["expiresAt"]
        host.token = renewed["runtimeToken"]
        await host.beat()
    assert (await server.call("POST", path, {}, key=other.token)).status_code == 403
    none = await server.call("POST", "/api/workers/wkr_none/heartbeat", {"activeCount": 0})
    assert none.status_code == 404


@one_database
@pytest.mark.parametrize("key", ["x", "rsk_live_wrong", "a.b.c", "é", "x" * 9000])
async def test_a_wrong_bearer_is_refused(server: Server, key: str) -> None:
    """With the wire's words."""
    host = await server.register()
    headers = httpx.Headers({b"Authorization": f"Bearer {key}".encode()})
    path = f"/api/workers/{host.id}/heartbeat"
    refused = await server.http.post(path, json={"activeCount": 0}, headers=headers)
    assert (refused.status_code, refused.json()) == (401, {"error": "Unauthorized"})


@one_database
async def test_wrong_keys_are_limited_by_address(server: Server) -> None:
    """Beyond the limit a wrong key is told to wait; a good one from there still works."""
    host = await server.register()
    for _ in range(MOST_FAILURES):
        refused = await server.call("GET", "/api/admin/hosts", key="rsk_live_wrong")
        assert refused.status_code == 401
    limited = await server.call("GET", "/api/admin/hosts", key="rsk_live_wrong")
    assert limited.status_code == 429
    assert 0 < int(limited.headers["retry-after"]) <= 60
    await server.ok("GET", "/api/admin/hosts")
    await host.beat()


async def test_a_revoked_key_takes_its_runtime_tokens_along(server: Server) -> None:
    """A token is refused once its key is revoked; another key renews the same worker."""
    made = await server.ok("POST", "/api/admin/keys", {"name": "h", "forHost": True})
    body = {"hostname": "build-07", "machineId": "m", "capacity": 1}
    host = await server.ok("POST", "/api/workers/register", body, key=made["key"])
    path, token = f"/api/workers/{host['workerId']}", host["runtimeToken"]
    beat = {"activeCount": 0}
    await server.ok("POST", f"{path}/heartbeat", beat, key=token)
    await server.ok("DELETE", f"/api/admin/keys/{made['id']}")
    for call in ("heartbeat", "refresh-token"):
        refused = await server.call("POST", f"{path}/{call}", beat, key=token)
        assert (refused.status_code, refused.json()) == (401, {"error": "Unauthorized"})
    renewed = await server.ok("POST", f"{path}/refresh-token", {})
    await server.ok("POST", f"{path}/heartbeat", beat, key=renewed["runtimeToken"])


async def test_nothing_of_another_tenant_is_there(server: Server) -> None:
    """Neither its hosts, nor its mutations, nor its values."""
    host = await server.register()
    mutation = await host.enqueue()
    platform = server.platform
    made = await found_org(platform.store, "org_b", "B", "bob@b.test", platform.now())
    listed = {"workerHostId": host.host_id}
    asked = {"workerHostId": host.host_id, "op": "project.enable", "params": {"id": "p"}}
    wanted = {"orgId": ORG, "sessionId": "s"}
    for method, path, body, params, status in (
        ("GET", "/api/daemon/mutations", None, listed, 404),
        ("POST", "/api/daemon/mutations", asked, None, 404),
        ("DELETE", f"/api/daemon/mutations/{mutation}", None, None, 404),
        ("POST", "/api/daemon/credentials/snapshot", wanted, None, 403),
        ("POST", f"/api/workers/{host.id}/heartbeat", {"activeCount": 0}, None, 404),
        ("GET", f"/api/admin/hosts/{host.host_id}", None, None, 404),
    ):
        refused = await server.call(method, path, body, key=made.text, params=params)
        assert (path, refused.status_code) == (path, status)
    assert (await server.ok("GET", "/api/admin/hosts", key=made.text))["hosts"] == []
    assert await host.pending() == [mutation]


async def test_a_key_of_a_host_can_do_what_a_host_does(server: Server) -> None:
    """It can neither enqueue, nor rotate, nor administer."""
    host = await server.register()
    made = await server.ok("POST", "/api/admin/keys", {"name": "h", "forHost": True})
    key = made["key"]
    body = {"hostname": "h2", "capacity": 1}
    await server.ok("POST", "/api/workers/register", body, key=key)
    asked = {"workerHostId": host.host_id, "op": "project.enable", "params": {"id": "p"}}
    for method, path, content in (
        ("POST", "/api/daemon/mutations", asked),
        ("POST", "/api/daemon/credentials/rotate", {"orgId": ORG, "kind": "k"}),
        ("POST", "/api/admin/keys", {"name": "more"}),
        ("GET", "/api/admin/audit", None),
    ):
        refused = await server.call(method, path, content, key=key)
        assert (path, refused.status_code) == (path, 403)


@one_database
async def test_a_poll_finds_no_work(server: Server) -> None:
    """So that a daemon that polls runs unchanged."""
    host = await server.register()
    path = f"/api/workers/{host.id}/poll"
    assert await server.ok("GET", path, key=host.token) == {"work": []}


async def test_a_ceiling_that_no_column_holds_is_refused(server: Server) -> None:
    """A beat with such a maxSessions is refused, and the mirror keeps the old one."""
    host = await server.register()
    await host.beat(maxSessions=3)
    path = f"/api/workers/{host.id}/heartbeat"
    for ceiling in (-1, 2**31, 2**70, True, 1.5, "1"):
        body = {"activeCount": 0, "maxSessions": ceiling}
        refused = await server.call("POST", path, body, key=host.token)
        assert refused.status_code == 400, ceiling
        assert refused.json() == {"error": "maxSessions must be a non-negative number"}
    found = await server.ok("GET", f"/api/admin/hosts/{host.host_id}")
    assert found["host"]["reported"]["maxSessions"] == 3
