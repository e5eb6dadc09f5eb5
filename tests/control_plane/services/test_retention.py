"""What is kept, and what is forgotten after a time."""

from datetime import datetime, timedelta
from functools import partial

import anyio
import anyio.lowlevel
import pytest
from deadlines import HANG_SECONDS
from platform_server import ORG, Server, Worker
from sqlalchemy import func, insert, select

from rensei_platform.services import retention, workers
from rensei_platform.store import tables

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


async def test_a_server_prunes_soon_after_its_start_and_again(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What grows old meanwhile goes as well."""
    monkeypatch.setattr(retention, "FIRST_PRUNE_SECONDS", 0.01)
    monkeypatch.setattr(retention, "PRUNE_SECONDS", 0.01)
    store, day = server.platform.store, [server.platform.now()]
    prune = partial(retention.prune_regularly, store, lambda: day[0], None, DAY)

    async def forgotten() -> None:
        await server.ok("POST", "/api/admin/hosts", {"name": f"h{day[0]:%d}"})
        day[0] += 3 * DAY
        with anyio.fail_after(HANG_SECONDS):
            while (await server.ok("GET", "/api/admin/audit"))["entries"]:
                await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(prune)
        await forgotten()
        await forgotten()
        tasks.cancel_scope.cancel()


async def beats(worker: Worker) -> int:
    """Return the status with which a heartbeat is answered."""
    path = f"/api/workers/{worker.id}/heartbeat"
    body = {"activeCount": 0}
    return (await worker.server.call("POST", path, body, key=worker.token)).status_code


def set_clock(server: Server, now: datetime) -> None:
    """Have it be a time at a server."""
    object.__setattr__(server.platform, "now", lambda: now)


async def test_workers_that_are_alive_stay(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Machines that share a machine id are one host; only what has ended is forgotten."""
    monkeypatch.setattr(workers, "KEPT_WORKERS", 2)
    now = server.platform.now()
    clones = [await server.register() for _ in range(4)]
    ended = await server.register()
    for minutes in (11, 22, 33):
        set_clock(server, now + timedelta(minutes=minutes))
        assert [await beats(clone) for clone in clones] == [200] * 4
        await server.platform.presence.write(server.platform.store)
    latest = [await server.register() for _ in range(2)]
    assert [await beats(one) for one in [*clones, *latest]] == [200] * 6
    assert await beats(ended) == 404


async def test_workers_of_a_host_are_bounded(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host that registers again and again leaves its latest workers alone."""
    monkeypatch.setattr(workers, "KEPT_WORKERS", 1)
    monkeypatch.setattr(workers, "MOST_WORKERS", 2)
    now, made = server.platform.now(), []
    for seconds in range(4):
        set_clock(server, now + timedelta(seconds=seconds))
        made.append(await server.register())
    assert [await beats(one) for one in made] == [404, 404, 200, 200]


async def test_a_live_worker_is_written_now_and_then(server: Server) -> None:
    """Not with every beat: that would be most of the database's work."""
    host, now = await server.register(), server.platform.now()
    store, presence = server.platform.store, server.platform.presence
    written = []
    for minutes in (0, 5, 9, 10, 21):
        set_clock(server, now + timedelta(minutes=minutes))
        await host.beat()
        await presence.write(store)
        async with store.read() as db:
            seen_at = await db.scalar(
                select(tables.workers.c.seen_at).where(tables.workers.c.id == host.id)
            )
        assert seen_at is not None
        written.append((seen_at - now) // timedelta(minutes=1))
    assert written == [0, 0, 0, 10, 21]


async def test_what_nothing_reads_is_forgotten(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of old requests, sessions and replicas; those of today stay."""
    monkeypatch.setattr(retention, "BATCH", 2)
    store, now = server.platform.store, server.platform.now()
    host = await server.register()
    for number in range(5):
        body = {"workerHostId": host.host_id, "op": "project.enable", "params": {"id": "p"}}
        headers = {"Idempotency-Key": f"k{number}"}
        await server.ok("POST", "/api/daemon/mutations", body, headers=headers)
        body = {"orgId": ORG, "sessionId": f"s{number}"}
        await server.ok("POST", "/api/daemon/credentials/snapshot", body)
    sessions = [{"id": f"s{number}", "version": 0} for number in range(5)]
    await host.beat(uptake=sessions)
    await host.beat(uptake=sessions[:1])
    async with store.write() as db:
        row = {"session_count": 1, "at": now, "replica_id": "r"}
        rows = [{"rotation_id": f"rot{number}", **row} for number in range(5)]
        await db.execute(insert(tables.rotation_replicas), rows)
    assert await counts(server) == {
        "idempotency_keys": 5,
        "rotation_replicas": 5,
        "session_scopes": 5,
        "uptake": 5,
    }
    await retention.prune(store, now, None, None)
    assert sum((await counts(server)).values()) == 20
    await retention.prune(store, now + 9 * DAY, None, None)
    assert await counts(server) == {
        "idempotency_keys": 0,
        "rotation_replicas": 0,
        "session_scopes": 0,
        "uptake": 1,  # the session that has not ended
    }


async def counts(server: Server) -> dict[str, int]:
    """Return how many rows the tables have."""
    found: dict[str, int] = {}
    async with server.platform.store.read() as db:
        for name in ("idempotency_keys", "rotation_replicas", "session_scopes", "uptake"):
            table = tables.metadata.tables[name]
            count = await db.scalar(select(func.count()).select_from(table))
            found[name] = int(count or 0)
    return found
