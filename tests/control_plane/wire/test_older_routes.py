"""The calls of older daemons, below /v1/daemon."""

from platform_server import Server

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
