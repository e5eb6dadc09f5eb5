"""Providers as callers meet them over the wire."""

import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from platform_server import ORG, Server, running, sqlite_url
from polling import until_answer
from raw_streams import open_streams
from sqlalchemy import select, update
from structlog.testing import capture_logs

from rensei_platform.services import lease_keeper
from rensei_platform.settings import ServerSettings
from rensei_platform.store.tables import resolved_sets

SNAPSHOT = "/api/daemon/credentials/snapshot"
ROTATE = "/api/daemon/credentials/rotate"
BINDING = "/api/admin/credentials/byok/binding"
SESSION = {"orgId": ORG, "sessionId": "s"}
CANARY = "canary-of-the-provider-routes"


@pytest.fixture
async def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    """Serve with a directory as a provider."""
    monkeypatch.setattr(lease_keeper, "LOOK_SECONDS", 0.02)
    (tmp_path / "secrets/acme/app").mkdir(parents=True)
    (tmp_path / "secrets/acme/app/TOKEN").write_text(CANARY)
    table = {"type": "file", "directory": str(tmp_path / "secrets"), "allow": {ORG: "acme"}}
    settings = ServerSettings(providers={"files": table})
    async with running(sqlite_url(tmp_path), tmp_path / "key", settings) as server:
        yield server


async def _bind(server: Server, path: str = "app", provider: str = "files") -> int:
    body = {"provider": provider, "path": path}
    answer = await server.call("PUT", "/api/admin/credentials/byok/binding", body)
    return answer.status_code


async def test_a_provider_that_fails_is_in_the_log(server: Server, tmp_path: Path) -> None:
    """Once for a binding, with the cause; hosts learn only when to come back."""
    with capture_logs() as logs:
        assert await _bind(server, "absent") == 200
        assert (await server.call("POST", SNAPSHOT, SESSION)).status_code == 503
        body = {"orgId": ORG, "kind": "byok"}
        assert (await server.call("POST", ROTATE, body)).status_code == 502
    (event,) = [entry for entry in logs if entry["event"] == "provider.failed"]
    assert (event["provider"], event["kind"], event["org_id"]) == ("files", "byok", ORG)
    assert (event["cause"], event["reason"]) == ("not_found", "there is no such file")


async def test_who_binds_is_told_what_fails(server: Server, tmp_path: Path) -> None:
    """At once: no session that sees the kind gets a snapshot before it is corrected."""
    body = {"provider": "files", "path": "absent"}
    bound = await server.ok("PUT", BINDING, body)
    assert bound["failure"] == {
        "cause": "not_found",
        "error": "Credential provider files (kind byok): there is no such file",
    }
    assert (await server.call("POST", SNAPSHOT, SESSION)).status_code == 503
    bound = await server.ok("PUT", BINDING, body | {"path": "app"})
    assert bound["failure"] is None
    (tmp_path / "secrets/acme/app/TOKEN").write_text("later")
    found = await server.ok("POST", SNAPSHOT, SESSION)
    assert found["env"] == {"TOKEN": CANARY}  # it was resolved when it was bound


async def test_watched_provider(server: Server, tmp_path: Path) -> None:
    """A change upstream is a rotation without anybody calling; equal values are none."""
    body = {"provider": "files", "path": "app", "watchSeconds": 30}
    bound = await server.ok("PUT", BINDING, body)
    assert bound["binding"]["watchSeconds"] == 30
    listed = await server.ok("GET", "/api/admin/credentials")
    assert [one["watchSeconds"] for one in listed["bindings"]] == [30]
    async with open_streams() as open_stream:
        await server.ok("POST", SNAPSHOT, SESSION)
        stream = await open_stream(server.url, server.key)
        await _is_due(server)
        await until_answer(lambda: _is_looked_at(server))
        assert await _rotations(server) == []
        (tmp_path / "secrets/acme/app/TOKEN").write_text("changed")
        await _is_due(server)
        assert (await stream.event())["delta"] == {"TOKEN": "changed"}
        assert await _rotations(server) == ["lease-keeper"]


async def _is_due(server: Server) -> None:
    """Have the time of the next look be now."""
    async with server.platform.store.write() as db:
        await db.execute(update(resolved_sets).values(due_at=server.platform.now()))


async def _is_looked_at(server: Server) -> bool:
    async with server.platform.store.read() as db:
        due_at = await db.scalar(select(resolved_sets.c.due_at))
    return due_at is not None and due_at > server.platform.now()


async def _rotations(server: Server) -> list[str]:
    found = await server.ok("GET", "/api/admin/rotations")
    return [one["requestedBy"] for one in found["rotations"]]


@pytest.mark.parametrize("seconds", [0, 1, 29, 604_801, -30, "60", True, 30.5])
async def test_how_often_a_provider_is_watched(server: Server, seconds: object) -> None:
    """At least every week, at most twice a minute: it is no queue to poll."""
    body = {"provider": "files", "path": "app", "watchSeconds": seconds}
    refused = await server.call("PUT", BINDING, body)
    assert (refused.status_code, "watchSeconds" in refused.json()["error"]) == (400, True)


async def test_failures_are_counted(server: Server, tmp_path: Path) -> None:
    """The metric has what fails now, by instance and cause; a success takes it away."""

    async def failures() -> list[str]:
        lines = (await server.http.get("/metrics")).text.splitlines()
        return [one for one in lines if one.startswith("rensei_platform_provider_fail")]

    assert await _bind(server) == 200
    ask = {"orgId": ORG, "kind": "byok"}
    (tmp_path / "secrets/acme/app/TOKEN").write_bytes(b"\xff")
    assert (await server.call("POST", ROTATE, ask)).status_code == 502
    labels = '{cause="bad_answer",provider="files"}'
    assert await failures() == [f"rensei_platform_provider_failures{labels} 1.0"]
    (tmp_path / "secrets/acme/app/TOKEN").write_text("good")
    await server.ok("POST", ROTATE, ask)
    assert await failures() == []


async def test_provider_fails(server: Server, tmp_path: Path) -> None:
    """A rotation that fails is 502 with provider and kind; snapshots stay as they are."""
    assert await _bind(server) == 200
    first = await server.ok("POST", SNAPSHOT, SESSION)
    (tmp_path / "secrets/acme/app/TOKEN").write_bytes(b"\xff" + CANARY.encode())
    refused = await server.call("POST", ROTATE, {"orgId": ORG, "kind": "byok"})
    assert (refused.status_code, refused.json()) == (
        502,
        {"error": "Credential provider files (kind byok): the file 'TOKEN' is not UTF-8"},
    )
    again = await server.ok("POST", SNAPSHOT, SESSION)
    assert again["env"] == first["env"] == {"TOKEN": CANARY}
    assert again["version"] == first["version"]
    params = {"action": "credential.rotate"}
    answer = await server.ok("GET", "/api/admin/audit", params=params)
    (entry,) = answer["entries"]
    assert (entry["object"], entry["outcome"]) == ("byok", "failed")
    assert entry["details"] == {"provider": "files", "cause": "bad_answer"}


async def test_nothing_to_serve(server: Server) -> None:
    """A snapshot of what was never resolved is 503, with when to try again."""
    assert await _bind(server, "absent") == 200
    refused = await server.call("POST", SNAPSHOT, SESSION)
    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) in range(30, 61)
    assert json.loads(refused.text) == {
        "error": "Credential provider files (kind byok): there is no such file"
    }


@pytest.mark.parametrize(
    ("path", "provider"),
    [("../other", "files"), ("/etc", "files"), ("app", "none"), ("", "files")],
)
async def test_hostile_binding(server: Server, path: str, provider: str) -> None:
    """A binding that leaves the prefix, or names what is not there, is 400."""
    assert await _bind(server, path, provider) == 400


async def test_values_for_another_provider(server: Server) -> None:
    """Values stored for a kind that is bound elsewhere would not be used: 409."""
    assert await _bind(server) == 200
    body = {"values": {"TOKEN": "x"}}
    refused = await server.call("PUT", "/api/admin/credentials/byok/values", body)
    assert (refused.status_code, refused.json()) == (
        409,
        {"error": "byok is bound to the provider files; unbind it first"},
    )


async def test_refresh_until(server: Server) -> None:
    """Without a lease a host asks again after the interval, ten per cent more or less."""
    assert await _bind(server) == 200
    asked = server.platform.now()
    answer = await server.ok("POST", SNAPSHOT, SESSION)
    wait = datetime.fromisoformat(answer["refreshUntil"]) - asked
    assert timedelta(minutes=49) < wait < timedelta(minutes=61)
