"""A small fleet for people to look at: hosts, what became of changes, and rotations."""

from datetime import datetime, timedelta
from typing import Any

from platform_server import ORG, OWNER, Server, Worker
from sqlalchemy import insert, update

from rensei_platform.ids import new_id
from rensei_platform.store.tables import (
    hosts,
    mutations,
    outcome_counts,
    presence,
    rotations,
)

VERSIONS = ("1.4.0", "1.4.0", "1.4.0", "1.3.2")
POOLS = (None, None, None, "pool_deleted")
REFUSED = (
    "project.remove proj_web: refused by [guards] keep_projects in config.toml: "
    "proj_web is kept on this host"
)


async def fill(server: Server, share: int = 1) -> Worker:
    """Fill a server, and return the host with most to see.

    Of hosts and rotations that are alike there is one in `share`.
    """
    now = server.platform.now()
    await _add_hosts(server, now, share)
    worker = await _add_history(server)
    await _add_credentials(server, worker)
    await _add_past(server, now, share)
    await _add_people(server)
    return worker


async def _add_hosts(server: Server, now: datetime, share: int) -> None:
    rows: list[dict[str, Any]] = []
    seen: list[dict[str, Any]] = []
    for kind, count in (("build", 24), ("deploy", 9), ("gpu", 6), ("night", 3)):
        for number in range(1, count // share + 1):
            id_ = new_id("host")
            index = len(rows)
            rows.append(
                {
                    "id": id_,
                    "org_id": ORG,
                    "machine_id": f"mid_{id_[5:15]}",
                    "hostname": f"{kind}-{number:02}.acme.test",
                    "created_at": now - timedelta(days=90),
                    "registered_at": now - timedelta(days=index % 30 + 1),
                    "registrations": index % 3 + 1,
                    "version": VERSIONS[index % 4],
                    "region": ("eu-west", "us-east")[index % 2],
                    "max_sessions": 8,
                    "enabled_project_ids": ["proj_web", "proj_api"],
                    "reported_at": now - timedelta(hours=index % 40),
                    "host_status": (
                        {"status": "pool_deleted"} if index % 13 == 12 else None
                    ),
                }
            )
            ages = (
                timedelta(seconds=3 + index % 25),
                timedelta(minutes=34),
                timedelta(days=4),
            )
            at = ages[0] if index % 9 else ages[1 + index % 2]
            if kind != "night":
                seen.append(
                    {"host_id": id_, "last_seen_at": now - at, "active_count": index % 6}
                )
    async with server.platform.store.write() as db:
        await db.execute(insert(hosts), rows)
        await db.execute(insert(presence), seen)


async def _add_history(server: Server) -> Worker:
    worker = await server.register("build-00.acme.test", version="1.4.0", region="eu-west")
    plan: tuple[tuple[str, dict[str, Any], str | None], ...] = (
        (
            "project.add",
            {"id": "proj_web", "repository": "https://github.com/acme/web"},
            "",
        ),
        (
            "project.add",
            {"id": "proj_api", "repository": "https://github.com/acme/api"},
            "",
        ),
        ("project.remove", {"id": "proj_web"}, REFUSED),
        ("project.disable", {"id": "proj_api"}, ""),
        (
            "modelAccess.set",
            {"workload": "review", "policy": {"authOrder": ["byok", "host-session"]}},
            "",
        ),
        ("project.enable", {"id": "proj_docs"}, ""),
    )
    for op, params, error in plan:
        id_ = await worker.enqueue(op, **params)
        await worker.beat()
        if error:
            await worker.beat(mutationFailures=[{"id": id_, "error": error}])
        else:
            await worker.beat(appliedMutations=[id_], enabledProjectIds=["proj_web"])
    for op, params in (
        ("project.enable", {"id": "proj_api"}),
        ("project.disable", {"id": "proj_web"}),
    ):
        await worker.enqueue(op, **params)
        if op == "project.enable":
            await worker.beat()
    await _age(server, worker)
    return worker


async def _age(server: Server, worker: Worker) -> None:
    """Let the history of a host have taken some days, and leave a drift behind."""
    now = server.platform.now()
    async with server.platform.store.write() as db:
        for seq, hours in enumerate((190, 166, 90, 70, 49, 26, 0, 0), start=1):
            at = now - timedelta(hours=hours, minutes=7 * seq % 50 if hours else 0)
            times: dict[str, Any] = {"created_at": at}
            if seq <= 6:
                times |= {
                    "delivered_at": at + timedelta(seconds=11),
                    "decided_at": at + timedelta(seconds=41),
                }
            await db.execute(
                update(mutations)
                .where((mutations.c.host_id == worker.host_id) & (mutations.c.seq == seq))
                .values(times)
            )
        await db.execute(
            update(hosts)
            .where(hosts.c.id == worker.host_id)
            .values(reported_at=now - timedelta(hours=25), max_sessions=8)
        )


async def _add_credentials(server: Server, worker: Worker) -> None:
    for kind, names in (
        ("anthropic", ("ANTHROPIC_API_KEY",)),
        ("github", ("GITHUB_TOKEN", "GITHUB_USER")),
        ("registry", ("NPM_TOKEN",)),
    ):
        path = f"/api/admin/credentials/{kind}/values"
        await server.ok("PUT", path, {"values": dict.fromkeys(names, "a value")})
    version = 0
    for session in ("deploy", "review", "web"):
        body = {"orgId": ORG, "sessionId": session, "projectId": "proj_web"}
        taken = await server.ok("POST", "/api/daemon/credentials/snapshot", body)
        version = taken["version"]
    body = {"orgId": ORG, "kind": "github"}
    await server.ok("POST", "/api/daemon/credentials/rotate", body)
    counts = {"confirmed": 1, "received": 0, "unknown": 0}
    notified = {"session_count": 3, "duration_ms": 41}
    async with server.platform.store.write() as db:
        await db.execute(update(rotations).values(notified))
    sessions = [
        {"id": "review", "version": version + 1, "consumers": counts, "behind": []},
        {
            "id": "web",
            "version": version + 1,
            "consumers": counts | {"confirmed": 0, "received": 2},
            "behind": [],
        },
        {"id": "deploy", "version": version, "consumers": counts, "behind": ["hook"]},
    ]
    await worker.beat(activeCount=3, uptake=sessions)


async def _add_past(server: Server, now: datetime, share: int) -> None:
    """Add rotations and outcomes of the last days."""
    past = [
        {
            "org_id": ORG,
            "version": -number,
            "id": new_id("rot"),
            "kind": ("github", "anthropic", "registry")[number % 3],
            "requested_by": (OWNER, "bob@acme.test")[number % 2],
            "rotated_at": now - timedelta(hours=19 * number),
            "session_count": 3,
            "duration_ms": (38, 45, 41, 120, 52, 39, 44, 730, 47)[number % 9],
        }
        for number in range(1, 24 // share + 1)
    ]
    today = (now - datetime(1970, 1, 1, tzinfo=now.tzinfo)).days
    counts = [
        {"org_id": ORG, "day": today - day, "status": status, "part": 100, "count": count}
        for day in range(1, 14)
        for status, count in (
            ("applied", 20 + (day * 37) % 45),
            ("failed", (day * 5) % 7),
            ("cancelled", day % 4),
        )
        if count
    ]
    async with server.platform.store.write() as db:
        await db.execute(insert(rotations), past)
        await db.execute(insert(outcome_counts), counts)


async def _add_people(server: Server) -> None:
    for email, role in (
        ("bob@acme.test", "admin"),
        ("carol@acme.test", "member"),
        ("dan@acme.test", "auditor"),
    ):
        body = {"email": email, "role": role}
        await server.ok("POST", "/api/admin/users", body)
    for name, limits in (
        ("build hosts", {"forHost": True}),
        ("deploy hosts", {"forHost": True, "environments": ["production"]}),
        ("terraform", {}),
    ):
        await server.ok("POST", "/api/admin/keys", {"name": name, **limits})
