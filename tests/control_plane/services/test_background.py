"""What a server does beside its requests: on a clock, and once more when it stops."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from platform_server import ORG, Server, running, serving_replica
from polling import until_answer
from sqlalchemy import URL

from rensei_platform.services import refusals, retention
from rensei_platform.settings import ServerSettings

SELDOM = ServerSettings(presence_seconds=3600, stop_seconds=0)


async def audit(server: Server, action: str) -> list[Any]:
    """Return the entries of an action."""
    answer = await server.ok("GET", "/api/admin/audit", params={"action": action})
    entries: list[Any] = answer["entries"]
    return entries


async def be_refused(server: Server) -> None:
    """Ask for something that a host's key may not do."""
    body = {"name": "h", "forHost": True}
    key = (await server.ok("POST", "/api/admin/keys", body))["key"]
    assert (await server.call("GET", "/api/admin/audit", key=key)).status_code == 403


async def test_a_stop_writes_what_is_still_in_memory(database: URL, tmp_path: Path) -> None:
    """When hosts were seen last, and who was refused."""
    key_file = tmp_path / "platform.key"
    async with running(database, key_file, SELDOM) as server:
        host = await server.register()
        await host.beat()
        await be_refused(server)
        key = server.key
    async with serving_replica(database, key_file, key, SELDOM) as again:
        found = (await again.ok("GET", f"/api/admin/hosts/{host.host_id}"))["host"]
        assert found["lastSeenAt"] is not None
        assert len(await audit(again, "request.refused")) == 1


async def is_gone(server: Server, action: str) -> bool:
    """Whether the audit has no such entry."""
    return not await audit(server, action)


async def test_refusals_and_retention_are_on_a_clock(
    database: URL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A running server writes the one and prunes the other by itself."""
    monkeypatch.setattr(refusals, "WRITE_SECONDS", 0.01)
    async with running(database, tmp_path / "k", SELDOM) as server:
        await be_refused(server)
        await until_answer(lambda: audit(server, "request.refused"))
        key = server.key
    monkeypatch.setattr(retention, "FIRST_PRUNE_SECONDS", 0)
    monkeypatch.setattr(retention, "PRUNE_SECONDS", 0.01)
    brief = ServerSettings(audit_retention=timedelta(milliseconds=1), stop_seconds=0)
    async with serving_replica(database, tmp_path / "k", key, brief) as again:
        await until_answer(lambda: is_gone(again, "request.refused"))


async def test_times_of_rotations_grow_when_the_clock_goes_back(server: Server) -> None:
    """Strictly: a daemon drops what seems older than what it has."""
    values = {"values": {"TOKEN": "t"}}
    await server.ok("PUT", "/api/admin/credentials/github/values", values)
    now, times = server.platform.now(), []
    for hours in (0, 5, -3, -3, 6):
        at = now + timedelta(hours=hours)
        object.__setattr__(server.platform, "now", lambda at=at: at)
        body = {"orgId": ORG, "kind": "github"}
        done = await server.ok("POST", "/api/daemon/credentials/rotate", body)
        times.append(done["rotatedAt"])
    assert times == sorted(set(times))
