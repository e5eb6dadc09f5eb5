"""Removing a host: what ends, what stays, and what comes back."""

from datetime import timedelta
from typing import Any

import pytest
from platform_server import ORG, Server, Worker

from rensei_platform.rules.reports import parse_beat
from rensei_platform.services import workers
from rensei_platform.services.callers import worker_of_token
from rensei_platform.services.decommissioning import REMOVED
from rensei_platform.services.platform import utc_now
from rensei_platform.store import outcome_counts

SNAPSHOT = "/api/daemon/credentials/snapshot"


@pytest.fixture(autouse=True)
def later(server: Server) -> "Later":
    """The clock of the server, to be put forward."""
    return Later(server)


class Later:
    """Puts the clock of a server forward."""

    def __init__(self, server: Server) -> None:
        self.offset = timedelta(0)
        object.__setattr__(server.platform, "now", lambda: utc_now() + self.offset)

    def by(self, **duration: float) -> None:
        """Let this time pass."""
        self.offset += timedelta(**duration)


async def remove(server: Server, host_id: str, **query: str) -> tuple[int, Any]:
    """Remove a host; return the status and the answer."""
    path = f"/api/admin/hosts/{host_id}"
    answer = await server.call("DELETE", path, params=query)
    return answer.status_code, answer.json()


async def counted(server: Server) -> dict[str, int]:
    """Return how many outcomes are counted, by status."""
    async with server.platform.store.read() as db:
        rows = await outcome_counts.since(db, ORG, 0)
    return {row["status"]: row["total"] for row in rows}


async def names(server: Server, **query: str) -> list[str]:
    """Return the names of the hosts that are listed."""
    found = await server.ok("GET", "/api/admin/hosts", params=query)
    return [host["name"] for host in found["hosts"]]


async def rotation(server: Server) -> str:
    """Rotate a kind, and return the id of the rotation."""
    body = {"orgId": ORG, "kind": "github"}
    answer = await server.ok("POST", "/api/daemon/credentials/rotate", body)
    return str(answer["rotationId"])


async def obstacles(server: Server, rotation_id: str) -> list[str]:
    """Return why the old value may not be revoked."""
    found = await server.ok("GET", f"/api/admin/rotations/{rotation_id}")
    obstacles: list[str] = found["receipt"]["obstacles"]
    return obstacles


async def snapshot(server: Server, session: str, key: str | None = None) -> int:
    """Take a snapshot, and return its version."""
    body = {"orgId": ORG, "sessionId": session}
    return int((await server.ok("POST", SNAPSHOT, body, key=key))["version"])


async def host_key(server: Server) -> str:
    """Return a new key for hosts."""
    body = {"name": "hosts", "forHost": True}
    return str((await server.ok("POST", "/api/admin/keys", body))["key"])


async def test_its_mutations_end_and_its_history_stays(
    server: Server, later: Later
) -> None:
    """Nothing new can be asked of it; what was asked can be read, and who removed it."""
    host = await server.register()
    done = await host.enqueue()
    await host.pending()
    await host.beat(appliedMutations=[done])
    delivered = await host.enqueue()
    await host.pending()
    pending = await host.enqueue()
    later.by(minutes=10)
    answer = {"ok": True, "cancelledMutations": 2}
    assert await remove(server, host.host_id) == (200, answer)
    found = {id_: (m["status"], m["error"]) for id_, m in (await host.history()).items()}
    assert found == {
        done: ("applied", None),
        delivered: ("cancelled", REMOVED),
        pending: ("cancelled", REMOVED),
    }
    assert await counted(server) == {"applied": 1, "cancelled": 2}
    body = {"workerHostId": host.host_id, "op": "project.enable", "params": {"id": "p"}}
    refused = await server.call("POST", "/api/daemon/mutations", body)
    assert (refused.status_code, refused.json()) == (
        404,
        {"error": "Worker host not found"},
    )
    path = f"/api/admin/hosts/{host.host_id}/status"
    assert (await server.call("PUT", path, {"hostStatus": None})).status_code == 404
    shown = (await server.ok("GET", f"/api/admin/hosts/{host.host_id}"))["host"]
    assert shown["removedAt"] is not None
    assert (await names(server), await names(server, removed="true")) == ([], ["build-07"])
    entries = (await server.ok("GET", "/api/admin/audit"))["entries"]
    (entry,) = [one for one in entries if one["action"] == "host.remove"]
    assert (entry["object"], entry["details"]) == (
        host.host_id,
        {"name": "build-07", "machine": "mid_build-07", "cancelled": 2},
    )
    assert (await remove(server, host.host_id))[0] == 404


async def test_it_registers_as_another_host(server: Server, later: Later) -> None:
    """Its worker is unknown from then on, and its machine id belongs to nobody."""
    host = await server.register()
    later.by(minutes=10)
    await remove(server, host.host_id)
    for call, key in (("heartbeat", host.token), ("refresh-token", server.key)):
        path = f"/api/workers/{host.id}/{call}"
        gone = await server.call("POST", path, {"activeCount": 0}, key=key)
        assert (call, gone.status_code) == (call, 404)
    again = await server.register()
    assert again.host_id != host.host_id
    await again.beat()
    assert await names(server) == ["build-07"]


async def test_a_live_host_stays_unless_forced(server: Server, later: Later) -> None:
    """It is alive if it has beaten or registered within three intervals."""
    host = await server.register()
    told = "build-07 is alive: stop its daemon first, or force the removal"
    assert await remove(server, host.host_id) == (409, {"error": told})
    later.by(minutes=10)
    await host.beat()
    assert await remove(server, host.host_id) == (409, {"error": told})
    assert (await remove(server, host.host_id, force="maybe"))[0] == 400
    assert (await remove(server, host.host_id, force="true"))[0] == 200
    assert (await remove(server, "host_none"))[0] == 404


async def test_only_an_admin_removes(server: Server) -> None:
    """Neither a member nor the host itself."""
    host = await server.register()
    body = {"name": "k", "owner": "bob@acme.test", "role": "member"}
    member = (await server.ok("POST", "/api/admin/keys", body))["key"]
    for key in (member, await host_key(server)):
        path = f"/api/admin/hosts/{host.host_id}"
        refused = await server.call("DELETE", path, params={"force": "true"}, key=key)
        assert refused.status_code == 403


async def report(worker: Worker, session: str, version: int) -> None:
    """Say that a session holds a version."""
    consumers = {"confirmed": 0, "received": 0, "unknown": 0}
    held = {"id": session, "version": version, "consumers": consumers, "behind": []}
    await worker.beat(uptake=[held])


async def test_no_receipt_waits_for_it(server: Server, later: Later) -> None:
    """Neither for its sessions nor for those it has never reported."""
    values = {"values": {"TOKEN": "t"}}
    await server.ok("PUT", "/api/admin/credentials/github/values", values)
    modern = await server.register("modern")
    version = await snapshot(server, "s")
    await report(modern, "s", version)
    old_key = await host_key(server)
    body = {"hostname": "old", "machineId": "old", "capacity": 1}
    await server.ok("POST", "/api/workers/register", body, key=old_key)
    await snapshot(server, "t", old_key)
    later.by(minutes=10)
    rotation_id = await rotation(server)
    silent = "2 hosts are silent, with the old value perhaps"
    assert await obstacles(server, rotation_id) == ["1 session is behind", silent]
    hosts = (await server.ok("GET", "/api/admin/hosts"))["hosts"]
    for host in hosts:
        assert (await remove(server, host["id"]))[0] == 200
    assert await obstacles(server, rotation_id) == []


async def test_what_others_hold_still_counts(server: Server, later: Later) -> None:
    """Another host with the same key, and a session of the key that no host has."""
    values = {"values": {"TOKEN": "t"}}
    await server.ok("PUT", "/api/admin/credentials/github/values", values)
    gone, stays = await server.register("gone"), await server.register("stays")
    version = await snapshot(server, "s")
    for worker in (gone, stays):
        await report(worker, "s", version)
    await snapshot(server, "of a script")
    later.by(minutes=10)
    await stays.beat()
    rotation_id = await rotation(server)
    await remove(server, gone.host_id)
    key = "1 key is used by sessions of no registered host"
    assert await obstacles(server, rotation_id) == ["1 session is behind", key]


async def test_a_beat_on_its_way_brings_nothing_back(server: Server, later: Later) -> None:
    """What it stores of a host that is being removed counts nowhere."""
    values = {"values": {"TOKEN": "t"}}
    await server.ok("PUT", "/api/admin/credentials/github/values", values)
    host = await server.register()
    await report(host, "s", await snapshot(server, "s"))
    later.by(minutes=10)
    rotation_id = await rotation(server)
    worker = await worker_of_token(server.platform, host.token, host.id)
    await remove(server, host.host_id)
    consumers = {"confirmed": 0, "received": 0, "unknown": 0}
    held = {"id": "s", "version": 1, "consumers": consumers, "behind": []}
    beat = parse_beat({"activeCount": 1, "uptake": [held]}, "activeCount")
    answer = await workers.answer_beat(server.platform, worker, beat)
    assert answer["pendingMutations"] == []
    await server.platform.presence.write(server.platform.store)
    assert await obstacles(server, rotation_id) == []


async def test_hosts_of_one_name_are_all_listed(server: Server) -> None:
    """A page ends within a name, and the next goes on with the rest of it."""
    for number in range(5):
        body = {"name": "same" if number < 4 else "zoo", "id": f"host_{number}"}
        await server.ok("POST", "/api/admin/hosts", body)
    found: list[str] = []
    query: dict[str, Any] = {"limit": 2}
    while page := (await server.ok("GET", "/api/admin/hosts", params=query))["hosts"]:
        found += [host["id"] for host in page]
        query |= {"after": page[-1]["name"], "afterId": page[-1]["id"]}
    assert found == [f"host_{number}" for number in range(5)]
    assert await names(server, after="same") == ["zoo"]
