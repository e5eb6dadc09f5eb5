"""Asked, acked and reported, as an operator sees them of a host."""

from datetime import timedelta
from typing import Any

from platform_server import Server, Worker


async def projects(server: Server, worker: Worker) -> Any:
    """Return the projects of a host."""
    return (await server.ok("GET", f"/api/admin/hosts/{worker.host_id}"))["projects"]


async def test_a_difference_that_lasts_is_drift(server: Server) -> None:
    """An omitted key of a beat leaves the mirror as it was, and `[]` clears it."""
    worker = await server.register()
    mutation = await worker.enqueue("project.enable", id="p")
    await worker.beat(enabledProjectIds=[])
    await worker.beat(appliedMutations=[mutation], enabledProjectIds=["p"])
    agreed = {"id": "p", "asked": "enabled", "acked": "enabled", "reported": "enabled"}
    await worker.beat()
    assert await projects(server, worker) == [agreed | {"drift": False}]
    await worker.beat(enabledProjectIds=[])
    differs = agreed | {"reported": "absent"}
    assert await projects(server, worker) == [differs | {"drift": False}]
    later = server.platform.now() + timedelta(seconds=60)  # two intervals
    server.platform.presence.note(worker.host_id, later, 0)
    assert await projects(server, worker) == [differs | {"drift": True}]
