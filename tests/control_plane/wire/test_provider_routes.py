"""Providers as callers meet them over the wire."""

import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from platform_server import ORG, Server, running, sqlite_url

from rensei_platform.settings import ServerSettings

SNAPSHOT = "/api/daemon/credentials/snapshot"
ROTATE = "/api/daemon/credentials/rotate"
SESSION = {"orgId": ORG, "sessionId": "s"}
CANARY = "canary-of-the-provider-routes"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """Serve with a directory as a provider."""
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


async def test_nothing_to_serve(server: Server) -> None:
    """A snapshot of what was never resolved is 503, with when to try again."""
    assert await _bind(server, "absent") == 200
    refused = await server.call("POST", SNAPSHOT, SESSION)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "30")
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
