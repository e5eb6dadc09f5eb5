"""Rotations and their receipts, as hosts and operators meet them on the wire."""

from datetime import timedelta
from typing import Any

from databases import one_database
from platform_server import ORG, Server, Worker

SNAPSHOT = "/api/daemon/credentials/snapshot"


async def put(server: Server, kind: str = "github", project: str = "") -> None:
    """Store a value of a kind."""
    path = f"/api/admin/credentials/{kind}/values"
    await server.ok(
        "PUT", path, {"values": {f"{kind}_T": "t"}, "projectId": project or None}
    )


async def snapshot(server: Server, session: str, **more: str) -> int:
    """Take a snapshot as a session, and return its version."""
    body = {"orgId": ORG, "sessionId": session, **more}
    return int((await server.ok("POST", SNAPSHOT, body))["version"])


async def rotate(server: Server, kind: str = "github") -> str:
    """Rotate a kind, and return the id of the rotation."""
    body = {"orgId": ORG, "kind": kind}
    answer = await server.ok("POST", "/api/daemon/credentials/rotate", body)
    return str(answer["rotationId"])


async def receipt(server: Server, rotation_id: str, **query: Any) -> Any:
    """Return the receipt of a rotation."""
    path = f"/api/admin/rotations/{rotation_id}"
    return (await server.ok("GET", path, params=query))["receipt"]


def uptake(session: str, version: int, *behind: str, **consumers: int) -> dict[str, Any]:
    """Return what a host says of a session."""
    return {
        "id": session,
        "version": version,
        "consumers": {"confirmed": 0, "received": 0, "unknown": 0} | consumers,
        "behind": list(behind),
    }


async def holding(server: Server, session: str = "s", host: str = "build-07") -> Worker:
    """Register a host, whose session has the values and has said so."""
    worker = await server.register(host)
    version = await snapshot(server, session)
    await worker.beat(uptake=[uptake(session, version)])
    return worker


@one_database
async def test_every_answer_offers_the_extension(server: Server) -> None:
    """The daemon uses it only while the newest answer did."""
    assert (await (await server.register()).beat())["extensions"] == [
        "uptake",
        "mutations-event",
    ]


async def test_a_receipt_goes_from_behind_to_yes(server: Server) -> None:
    """The host holds it, its hook follows, and only then the old value may go."""
    await put(server)
    worker = await holding(server)
    rotation_id = await rotate(server)
    found = await receipt(server, rotation_id)
    assert (found["held"], found["safeToRevoke"]) == (0, False)
    assert found["obstacles"] == ["1 session is behind"]
    version = await snapshot(server, "s")
    await worker.beat(uptake=[uptake("s", version, "hook /bin/reload")])
    found = await receipt(server, rotation_id)
    assert (found["held"], found["safeToRevoke"], found["behindCount"]) == (1, False, 1)
    assert found["behind"] == [
        {
            "hostId": worker.host_id,
            "host": "build-07",
            "sessionId": "s",
            "version": version,
            "behind": ["hook /bin/reload"],
        }
    ]
    await worker.beat(uptake=[uptake("s", version, confirmed=1)])
    assert await receipt(server, rotation_id) == {
        "notified": 0,
        "held": 1,
        "confirmed": 1,
        "received": 0,
        "unknown": 0,
        "behindCount": 0,
        "behind": [],
        "unknownHosts": [],
        "unknownKeys": [],
        "vanishedHosts": [],
        "safeToRevoke": True,
        "obstacles": [],
    }


async def test_what_cannot_tell_has_to_be_accepted(server: Server) -> None:
    """A plain file's readers, a host with an older daemon, a key of no host."""
    await put(server)
    worker = await holding(server)
    rotation_id = await rotate(server)
    version = await snapshot(server, "s")
    await worker.beat(uptake=[uptake("s", version, unknown=1)])
    old_key = await server.ok("POST", "/api/admin/keys", {"name": "old", "forHost": True})
    body = {"hostname": "old-host", "capacity": 1}
    await server.ok("POST", "/api/workers/register", body, key=old_key["key"])
    body = {"orgId": ORG, "sessionId": "s"}
    await server.ok("POST", SNAPSHOT, body, key=old_key["key"])
    script = await server.ok("POST", "/api/admin/keys", {"name": "script"})
    await server.ok("POST", SNAPSHOT, body, key=script["key"])
    found = await receipt(server, rotation_id)
    assert [one["name"] for one in found["unknownHosts"]] == []
    assert [one["name"] for one in found["vanishedHosts"]] == ["old-host"]
    assert [one["name"] for one in found["unknownKeys"]] == ["script"]
    assert found["unknown"] == 1
    accepted: dict[str, Any] = {"acceptUnknown": "true"}
    assert not (await receipt(server, rotation_id, **accepted))["safeToRevoke"]
    accepted["without"] = "old-host"
    found = await receipt(server, rotation_id, **accepted)
    assert found["obstacles"] == ["1 key is used by sessions of no registered host"]
    accepted["without"] = ["old-host", script["id"]]
    assert (await receipt(server, rotation_id, **accepted))["safeToRevoke"]


async def test_a_host_that_has_not_reported_yet_is_not_accepted(server: Server) -> None:
    """It has just started, and may be about to say that it is behind."""
    await put(server)
    rotation_id = await rotate(server)
    worker = await server.register()
    version = await snapshot(server, "s")
    await worker.beat()
    accepted = {"acceptUnknown": "true"}
    found = await receipt(server, rotation_id, **accepted)
    assert [one["name"] for one in found["unknownHosts"]] == ["build-07"]
    assert found["obstacles"] == ["1 host is without a report"]
    assert (await receipt(server, rotation_id, without="build-07"))["safeToRevoke"]
    await worker.beat(uptake=[uptake("s", version, unknown=1)])
    assert (await receipt(server, rotation_id, **accepted))["safeToRevoke"]


async def test_a_host_that_vanishes_is_named(server: Server) -> None:
    """It blocks until an operator excludes it, unless it had followed before."""
    await put(server)
    gone = await holding(server, "gone", "build-08")
    worker = await holding(server)
    rotation_id = await rotate(server)
    version = await snapshot(server, "s")
    await worker.beat(uptake=[uptake("s", version, confirmed=1)])
    assert (await receipt(server, rotation_id))["vanishedHosts"] == []
    before = server.platform.now() - timedelta(seconds=91)  # three intervals
    for host in (gone, worker):
        server.platform.presence.note(host.host_id, before, 0)
    found = await receipt(server, rotation_id)
    assert [one["name"] for one in found["vanishedHosts"]] == ["build-08"]
    assert not (await receipt(server, rotation_id, acceptUnknown="true"))["safeToRevoke"]
    assert (await receipt(server, rotation_id, without="build-08"))["safeToRevoke"]


async def test_another_project_and_an_ended_session_do_not_count(server: Server) -> None:
    """Only sessions that see the kind are waited for."""
    await put(server)
    await put(server, "npm", project="p")
    worker = await server.register()
    await snapshot(server, "in-p", projectId="p")
    await snapshot(server, "ended", projectId="p")
    version = await snapshot(server, "outside", projectId="q")
    said = [uptake(name, version) for name in ("in-p", "ended", "outside")]
    await worker.beat(uptake=said)
    rotation_id = await rotate(server, "npm")
    behind = (await receipt(server, rotation_id))["behind"]
    assert sorted(one["sessionId"] for one in behind) == ["ended", "in-p"]
    await worker.beat(uptake=[said[0], said[2]])
    behind = (await receipt(server, rotation_id))["behind"]
    assert [one["sessionId"] for one in behind] == ["in-p"]


async def test_a_report_that_is_repeated_writes_nothing(server: Server) -> None:
    """One that changes something, or says so for the first time, is one transaction."""
    await put(server)
    worker = await holding(server)
    fresh = await server.register("fresh")
    said = [uptake("s", 3, confirmed=1)]
    await worker.beat(uptake=said)
    writes = []
    write = server.platform.store.write

    def counted() -> object:
        writes.append(1)
        return write()

    server.platform.store.write = counted  # type: ignore[method-assign,assignment]
    await worker.beat(uptake=said)
    await worker.beat(uptake={"nonsense": 1})
    assert writes == []
    await worker.beat(uptake=[])
    await fresh.beat(uptake=[])
    assert writes == [1, 1]
    await fresh.beat(uptake=[])
    assert writes == [1, 1]


async def test_receipts_of_others_are_not_found(server: Server) -> None:
    """Another organization's rotation, and one that never was."""
    await put(server)
    rotation_id = await rotate(server)
    body = {"id": "org_b", "name": "B", "owner": "b@b.test"}
    other = await server.ok("POST", "/api/admin/orgs", body)
    path = f"/api/admin/rotations/{rotation_id}"
    refused = await server.call("GET", path, key=other["key"])
    assert (refused.status_code, refused.json()) == (404, {"error": "Rotation not found"})
    (listed,) = (await server.ok("GET", "/api/admin/rotations"))["rotations"]
    assert (listed["id"], listed["kind"]) == (rotation_id, "github")
    wrong = await server.call("GET", path, params={"without": "nobody"})
    assert wrong.json() == {"error": "nobody is no host or key with sessions"}
