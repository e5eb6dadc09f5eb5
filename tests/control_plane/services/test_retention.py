"""What is kept, and what is forgotten after a time."""

from datetime import timedelta

import pytest
from platform_server import Server

from rensei_platform.services import retention

DAY = timedelta(days=1)


async def test_decided_mutations_are_forgotten(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what was decided before the time goes; an undecided one stays for ever."""
    monkeypatch.setattr(retention, "BATCH", 2)
    worker = await server.register()
    ids = [await worker.enqueue(id=f"p{number}") for number in range(5)]
    await worker.pending()
    await worker.beat(
        appliedMutations=[ids[0], ids[2]],
        mutationFailures=[{"id": ids[4], "error": "no"}],
    )
    store, now = server.platform.store, server.platform.now()
    assert await retention.prune_mutations(store, now - DAY) == 0
    await retention.prune(store, now + 3 * DAY, 2 * DAY, None)
    assert sorted(await worker.history()) == sorted([ids[1], ids[3]])


async def test_audit_is_forgotten(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old entries go, in batches, and newer ones stay."""
    monkeypatch.setattr(retention, "BATCH", 2)
    for number in range(5):
        await server.ok("POST", "/api/admin/hosts", {"name": f"h{number}"})
    store, now = server.platform.store, server.platform.now()
    assert await retention.prune_audit(store, now - DAY) == 0
    await retention.prune(store, now + 3 * DAY, None, 2 * DAY)
    assert (await server.ok("GET", "/api/admin/audit"))["entries"] == []


async def test_workers_of_a_host_are_bounded(server: Server) -> None:
    """A host that registers again and again leaves its latest workers alone."""
    first = await server.register()
    for _ in range(15):
        last = await server.register()
    await first.beat()
    last = await server.register()
    await last.beat()
    gone = await server.call(
        "POST", f"/api/workers/{first.id}/heartbeat", {"activeCount": 0}, key=first.token
    )
    assert gone.status_code == 404
