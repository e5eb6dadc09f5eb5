"""The calls of older daemons, below /v1/daemon."""

from datetime import datetime

from platform_server import Server

from rensei_platform.rules.times import to_milliseconds
from rensei_platform.store import uptake

REGISTRATION = {"hostname": "build-07", "maxAgents": 4}


async def test_a_host_registers_with_its_key_in_the_body(server: Server) -> None:
    """Intervals are whole seconds, rounded up."""
    body = REGISTRATION | {"registrationToken": server.key}
    registered = await server.ok("POST", "/v1/daemon/register", body, key="none")
    assert registered["heartbeatIntervalSeconds"] == 30
    assert registered["pollIntervalSeconds"] == 5
    assert registered.keys() == {
        "workerId",
        "runtimeJwt",
        "heartbeatIntervalSeconds",
        "pollIntervalSeconds",
    }
    refused = await server.call("POST", "/v1/daemon/register", REGISTRATION, key=server.key)
    assert refused.status_code == 400


async def test_a_beat_takes_a_runtime_token_alone(server: Server) -> None:
    """It is answered without mutations, and for the worker of the token only."""
    host, other = await server.register(), await server.register("other")
    await host.enqueue()
    path, body = "/v1/daemon/heartbeat", {"workerId": host.id, "activeSessions": 1}
    answer = await server.ok("POST", path, body, key=host.token)
    assert "pendingMutations" not in answer
    assert (await server.call("POST", path, body, key=server.key)).status_code == 401
    assert (await server.call("POST", path, body, key=other.token)).status_code == 403
    assert await host.pending() == [*await host.history()]


async def test_a_beat_is_kept_as_the_newer_one(server: Server) -> None:
    """What the host reports, and which values its sessions hold."""
    host = await server.register()
    held = {"id": "s", "version": 0, "consumers": {"confirmed": 1}, "behind": []}
    body = {"workerId": host.id, "activeSessions": 1, "maxSessions": 3, "uptake": [held]}
    for _ in range(2):
        answer = await server.ok("POST", "/v1/daemon/heartbeat", body, key=host.token)
    at = datetime.fromisoformat(answer.pop("serverTime"))
    assert answer == {
        "acknowledged": True,
        "pendingWorkCount": 0,
        "extensions": ["uptake", "mutations-event"],
        "ok": True,
        "serverTimeMs": to_milliseconds(at),
    }
    shown = (await server.ok("GET", f"/api/admin/hosts/{host.host_id}"))["host"]
    assert (shown["reported"]["maxSessions"], shown["activeCount"]) == (3, 1)
    async with server.platform.store.read() as db:
        (reported,) = await uptake.of_host(db, host.host_id)
    assert (reported.session_id, reported.confirmed) == ("s", 1)


async def test_the_count_of_sessions_has_either_name(server: Server) -> None:
    """In both forms of a heartbeat; its own counts, and without any it is none."""
    host = await server.register()
    body = {"workerId": host.id}
    for path, own, other in (
        ("/v1/daemon/heartbeat", "activeSessions", "activeCount"),
        (f"/api/workers/{host.id}/heartbeat", "activeCount", "activeSessions"),
    ):
        for counts, active in (({own: 2, other: 9}, 2), ({other: 3}, 3)):
            await server.ok("POST", path, {**body, **counts}, key=host.token)
            shown = await server.ok("GET", f"/api/admin/hosts/{host.host_id}")
            assert shown["host"]["activeCount"] == active
        refused = await server.call("POST", path, body, key=host.token)
        message = f"{own} must be a non-negative number"
        assert (refused.status_code, refused.json()) == (400, {"error": message})
