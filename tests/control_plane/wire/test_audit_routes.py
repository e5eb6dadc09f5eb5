"""The audit over HTTP: filters, pages, and refusals counted together."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from databases import one_database
from platform_server import ORG, OWNER, Server
from polling import until
from sqlalchemy import create_engine, update
from structlog.testing import capture_logs

from rensei_platform.rules.callers import Access
from rensei_platform.rules.times import wire_time
from rensei_platform.store.tables import keys


async def _add_hosts(server: Server, count: int) -> None:
    for number in range(count):
        await server.ok("POST", "/api/admin/hosts", {"name": f"h{number}"})


async def test_pages_follow_one_another(server: Server) -> None:
    """`before` of one answer asks for the next; the last page has none."""
    await _add_hosts(server, 5)
    found: list[int] = []
    params: dict[str, int] = {"limit": 2}
    while True:
        page = await server.ok("GET", "/api/admin/audit", params=params)
        found += [entry["seq"] for entry in page["entries"]]
        if "before" not in page:
            break
        params["before"] = page["before"]
    assert found == sorted(found, reverse=True)
    assert len(found) == len(set(found)) == 5


@one_database
@pytest.mark.parametrize("role", ["admin", "member", "auditor"])
async def test_every_role_reads_it(server: Server, role: str) -> None:
    """Whatever else they may do; the key of a host may not."""
    body = {"name": "k", "owner": "bob@acme.test", "role": role}
    key = (await server.ok("POST", "/api/admin/keys", body))["key"]
    found = await server.ok("GET", "/api/admin/audit", key=key)
    assert [one["action"] for one in found["entries"]] == ["key.add", "user.add"]
    host = await server.ok("POST", "/api/admin/keys", {"name": "h", "forHost": True})
    refused = await server.call("GET", "/api/admin/audit", key=host["key"])
    assert refused.status_code == 403


async def test_filters(server: Server) -> None:
    """By who did it, by what was done, and by when."""
    await _add_hosts(server, 2)
    await server.ok("POST", "/api/admin/keys", {"name": "k"})
    later = wire_time(server.platform.now() + timedelta(hours=1))

    async def count(**params: str) -> int:
        return len((await server.ok("GET", "/api/admin/audit", params=params))["entries"])

    assert await count(action="host.add") == 2
    assert await count(actor=OWNER) == 3
    assert await count(actor=OWNER, action="key.add") == 1
    assert await count(actor="bob@acme.test") == 0
    assert await count(since=later) == 0
    assert await count(since="2026-01-01T00:00:00Z") == 3


@one_database
@pytest.mark.parametrize("since", ["yesterday", "2026-01-01", "9999999999", "\0"])
async def test_wrong_time_is_refused(server: Server, since: str) -> None:
    """A time without a zone means another one to everybody."""
    answer = await server.call("GET", "/api/admin/audit", params={"since": since})
    assert answer.status_code == 400


async def test_an_organization_is_in_the_audit(server: Server) -> None:
    """Its operator's has who added it and for whom; nobody else's has."""
    beta = {"id": "org_beta", "name": "Beta", "owner": "Eve@Beta.test"}
    made = await server.ok("POST", "/api/admin/orgs", beta)
    (entry,) = (await server.ok("GET", "/api/admin/audit"))["entries"]
    assert (entry["actor"], entry["action"], entry["object"], entry["address"]) == (
        OWNER,
        "org.add",
        "org_beta",
        "127.0.0.1",
    )
    assert entry["details"] == {"name": "Beta", "owner": "eve@beta.test"}
    theirs = await server.ok("GET", "/api/admin/audit", key=made["key"])
    assert theirs["entries"] == []
    assert (await server.call("POST", "/api/admin/orgs", beta)).status_code == 409
    assert len((await server.ok("GET", "/api/admin/audit"))["entries"]) == 1


async def test_a_key_that_makes_a_member_is_in_the_audit_twice(server: Server) -> None:
    """A role that somebody gets with a key is given as one that they get without."""

    async def entries(**more: str) -> list[tuple[Any, ...]]:
        body = {"name": "k", "owner": "bob@acme.test"} | more
        before = len((await server.ok("GET", "/api/admin/audit"))["entries"])
        await server.ok("POST", "/api/admin/keys", body)
        found = (await server.ok("GET", "/api/admin/audit"))["entries"]
        new = reversed(found[: len(found) - before])
        return [(one["action"], one["details"]) for one in new]

    key = ("key.add", {"name": "k"})
    assert await entries() == [("user.add", {"role": "member"}), key]
    assert await entries() == [key]
    assert await entries(role="member") == [key]
    role = {"role": "admin", "before": "member"}
    assert await entries(role="admin") == [("user.role", role), key]


async def test_an_entry_that_cannot_be_written_is_counted(server: Server) -> None:
    """Of a rotation and a snapshot, which are answered by then: both succeed."""
    kind = "/api/admin/credentials/github/values"
    await server.ok("PUT", kind, {"values": {"TOKEN": "sk-canary"}})
    session, rotation = {"orgId": ORG, "sessionId": "s"}, {"orgId": ORG, "kind": "github"}
    await server.ok("POST", "/api/daemon/credentials/snapshot", session)
    with _without_audit(server), capture_logs() as logs:
        await server.ok("POST", "/api/daemon/credentials/snapshot", session)
        await server.ok("POST", "/api/daemon/credentials/rotate", rotation)
        await until(lambda: server.platform.tally.lost_entries == 2)
    lost = [one for one in logs if one["event"] == "audit.lost"]
    assert [one["action"] for one in lost] == ["credential.snapshot", "credential.rotate"]
    text = (await server.http.get("/metrics")).text
    assert "rensei_platform_audit_entries_lost_total 2.0" in text.splitlines()


@contextmanager
def _without_audit(server: Server) -> Iterator[None]:
    """Have the table elsewhere, so that nothing is written to it."""
    engine = create_engine(server.database)
    with engine.begin() as db:
        db.exec_driver_sql("ALTER TABLE audit RENAME TO audit_away")
    yield
    with engine.begin() as db:
        db.exec_driver_sql("ALTER TABLE audit_away RENAME TO audit")
    engine.dispose()


async def test_refusals_are_counted_and_written_together(server: Server) -> None:
    """Ten refusals are one row, with the actor and the call; strangers are in no org's."""
    made = await server.ok("POST", "/api/admin/keys", {"name": "h", "forHost": True})
    for _ in range(10):
        answer = await server.call(
            "POST", "/api/admin/hosts", {"name": "h"}, key=made["key"]
        )
        assert answer.status_code == 403
    await server.call("GET", "/api/admin/hosts", key="rsk_live_wrong")
    platform = server.platform
    await platform.refusals.write(platform.store, platform.now)
    await platform.refusals.write(platform.store, platform.now)  # nothing more to write
    found = (await server.ok("GET", "/api/admin/audit"))["entries"]
    (entry,) = [one for one in found if one["action"] == "request.refused"]
    assert (entry["actor"], entry["object"], entry["outcome"], entry["count"]) == (
        OWNER,
        "add_host",
        "refused 403",
        10,
    )


@one_database
async def test_a_refusal_has_the_actor_whatever_was_asked(server: Server) -> None:
    """Also for a worker's calls and for rotations, and with the key in the body."""
    made = await server.ok("POST", "/api/admin/keys", {"name": "h", "forHost": True})
    async with server.platform.store.write() as db:
        limited = update(keys).where(keys.c.id == made["id"])
        await db.execute(limited.values(scopes=[Access.STREAM]))
    host = await server.register()
    registration = {"hostname": "h", "capacity": 1, "maxAgents": 1}
    for method, path, body in (
        ("GET", "/api/admin/rotations", None),
        ("GET", "/api/admin/rotations/rot_1", None),
        ("POST", "/api/workers/register", registration),
        ("POST", "/v1/daemon/register", registration | {"registrationToken": made["key"]}),
        ("POST", f"/api/workers/{host.id}/heartbeat", {"activeCount": 0}),
        ("POST", f"/api/workers/{host.id}/refresh-token", {}),
        ("GET", f"/api/workers/{host.id}/poll", None),
    ):
        refused = await server.call(method, path, body, key=made["key"])
        assert refused.status_code == 403
    platform = server.platform
    await platform.refusals.write(platform.store, platform.now)
    found = (await server.ok("GET", "/api/admin/audit"))["entries"]
    refusals = [one for one in found if one["action"] == "request.refused"]
    assert {(one["actor"], one["object"]) for one in refusals} == {
        (OWNER, name)
        for name in (
            "list_rotations",
            "get_rotation",
            "register",
            "register_daemon",
            "heartbeat",
            "refresh_token",
            "poll",
        )
    }


async def test_refusals_are_bounded(server: Server) -> None:
    """However many addresses are refused, a minute makes a bounded number of rows."""
    from rensei_platform.services.refusals import MOST_ACTORS, Refusal, Refusals

    refusals = Refusals()
    for number in range(MOST_ACTORS + 50):
        refusals.count(Refusal(None, "unknown", None, "register", 401, str(number)))
    assert len(refusals._counts) == MOST_ACTORS + 1
    assert refusals._counts.total() == MOST_ACTORS + 50
