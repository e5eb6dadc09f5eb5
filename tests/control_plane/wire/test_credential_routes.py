"""Credentials over the wire: stored, snapshot, rotated, and told to streams."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import anyio
import pytest
from deadlines import HANG_SECONDS
from platform_server import ORG, Server
from polling import until
from sqlalchemy import event as sqlalchemy_event

from rensei_platform.services.fan_out import SCOPE_LIFETIME
from rensei_platform.services.platform import utc_now
from rensei_platform.services.snapshot_notes import NOTE_AGAIN
from rensei_platform.store.tables import metadata

SNAPSHOT = "/api/daemon/credentials/snapshot"
ROTATE = "/api/daemon/credentials/rotate"
STREAM = "/api/daemon/credentials/rotate-stream"


async def put(server: Server, kind: str, values: dict[str, str], **scope: str) -> None:
    """Store values."""
    path = f"/api/admin/credentials/{kind}/values"
    await server.ok("PUT", path, {"values": values, **scope})


async def snapshot(server: Server, session: str = "s", **more: str) -> Any:
    """Take a snapshot."""
    return await server.ok("POST", SNAPSHOT, {"orgId": ORG, "sessionId": session, **more})


async def rotate(server: Server, kind: str = "github") -> Any:
    """Rotate a kind."""
    return await server.ok("POST", ROTATE, {"orgId": ORG, "kind": kind})


@asynccontextmanager
async def listening(server: Server, session: str = "s") -> AsyncIterator[Any]:
    """Open a stream, and lend what waits for its next event."""
    headers = {"Authorization": f"Bearer {server.key}"}
    async with server.http.stream(
        "GET", STREAM, params={"sessionId": session}, headers=headers
    ) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = response.aiter_lines()
        assert await anext(lines) == ": hello"

        async def event() -> Any:
            async for line in lines:
                if line.startswith("data: "):
                    return json.loads(line.removeprefix("data: "))
            return None

        yield event


async def test_a_rotation_tells_what_is_stored_now(server: Server) -> None:
    """Not what was stored before it, and nothing is made up."""
    await put(server, "github", {"TOKEN": "one"})
    assert (await snapshot(server))["env"] == {"TOKEN": "one"}
    async with listening(server) as event:
        await put(server, "github", {"TOKEN": "two"})
        done = await rotate(server)
        told = await event()
        again = await rotate(server)
        assert (await event())["delta"] == {"TOKEN": "two"}
    assert (done["ok"], done["kind"], done["sessionCount"]) == (True, "github", 1)
    assert (told["type"], told["delta"]) == ("UPDATE", {"TOKEN": "two"})
    assert told["rotatedAt"] == done["rotatedAt"] < again["rotatedAt"]
    assert (await snapshot(server))["env"] == {"TOKEN": "two"}


async def test_an_update_names_its_version_and_the_one_before(server: Server) -> None:
    """The one before is the newest rotation of a kind that the session sees.

    So a session that missed a rotation notices; another project's means nothing to it.
    """
    for kind, project in (("github", ""), ("npm", "p"), ("other", "q")):
        await put(
            server,
            kind,
            {f"{kind.upper()}_TOKEN": "t"},
            **({"projectId": project} if project else {}),
        )
    await snapshot(server, projectId="p")
    async with listening(server) as event:
        first = await rotate(server, "github") and await event()
        await rotate(server, "other")
        second = await rotate(server, "npm") and await event()
    assert first["previousVersion"] == 0
    assert second["previousVersion"] == first["version"] == second["version"] - 2
    assert (await snapshot(server, projectId="p"))["version"] == second["version"]


async def test_a_session_is_told_what_it_could_have_snapshotted(server: Server) -> None:
    """By the scope of its last snapshot; without one it is told that, and no value."""
    await put(server, "github", {"TOKEN": "all", "OTHER": "o"})
    await put(server, "github", {"TOKEN": "of p"}, projectId="p")
    await put(server, "npm", {"NPM": "n"}, projectId="p")
    await snapshot(server, "in-p", projectId="p")
    await snapshot(server, "outside")
    async with (
        listening(server, "in-p") as in_p,
        listening(server, "outside") as outside,
        listening(server, "new") as new,
    ):
        assert (await rotate(server))["sessionCount"] == 3
        assert (await in_p())["delta"] == {"TOKEN": "of p", "OTHER": "o"}
        assert (await outside())["delta"] == {"TOKEN": "all", "OTHER": "o"}
        assert (await new())["delta"] == {}
        assert (await rotate(server, "npm"))["sessionCount"] == 2
        assert (await in_p())["delta"] == {"NPM": "n"}
        assert (await new())["delta"] == {}


async def test_one_id_in_two_scopes_is_told_no_value(server: Server) -> None:
    """Two hosts may share a key and a session id: which one listens cannot be told."""
    await put(server, "github", {"TOKEN": "t"}, projectId="p")
    await snapshot(server, projectId="p")
    await snapshot(server, projectId="q")
    async with listening(server) as event:
        await rotate(server)
        assert (await event())["delta"] == {}


async def test_rotation_is_refused_before_anything_is_resolved(server: Server) -> None:
    """Another organization, no such kind, no body."""
    await put(server, "github", {"TOKEN": "t"})
    for body, status in (
        ({"orgId": "org_b", "kind": "github"}, 403),
        ({"orgId": ORG, "kind": "none"}, 404),
        ({"orgId": ORG}, 400),
        ([], 400),
    ):
        refused = await server.call("POST", ROTATE, body)
        assert (refused.status_code, list(refused.json())) == (status, ["error"])


async def test_a_revoked_key_ends_its_streams(server: Server) -> None:
    """And is refused from then on."""
    made = await server.ok("POST", "/api/admin/keys", {"name": "h", "forHost": True})
    headers = {"Authorization": f"Bearer {made['key']}"}
    async with server.http.stream(
        "GET", STREAM, params={"sessionId": "s"}, headers=headers
    ) as response:
        await server.ok("DELETE", f"/api/admin/keys/{made['id']}")
        with anyio.fail_after(HANG_SECONDS):
            assert b"".join([chunk async for chunk in response.aiter_raw()])
    refused = await server.call("GET", STREAM, params={"sessionId": "s"}, key=made["key"])
    assert (refused.status_code, refused.json()) == (401, {"error": "Unauthorized"})


async def test_values_are_in_no_row_and_no_audit(server: Server) -> None:
    """They are stored encrypted, and named only."""
    await put(server, "github", {"TOKEN": "canary-71c0"})
    await snapshot(server)
    await rotate(server)
    assert "canary-71c0" not in json.dumps(await server.ok("GET", "/api/admin/audit"))
    async with server.platform.store.read() as db:
        for table in metadata.sorted_tables:
            rows = (await db.execute(table.select())).all()
            assert "canary-71c0" not in repr(rows), table.name


async def test_a_value_may_be_empty(server: Server) -> None:
    """A snapshot has it as it was stored."""
    await put(server, "github", {"EMPTY": ""})
    assert (await snapshot(server))["env"] == {"EMPTY": ""}


@pytest.mark.parametrize("count", [1, 40])
async def test_all_values_of_a_request_are_one_statement(
    server: Server, count: int
) -> None:
    """However many there are; each is stored."""
    engine, sent = server.platform.store._writers.sync_engine, list[str]()

    def note(_c: object, _d: object, statement: str, *_: object) -> None:
        sent.append(statement)

    values = {f"NAME_{number}": f"value {number}" for number in range(count)}
    sqlalchemy_event.listen(engine, "before_cursor_execute", note)
    await put(server, "github", values)
    sqlalchemy_event.remove(engine, "before_cursor_execute", note)
    assert sum("INTO credential_values" in statement for statement in sent) == 1
    assert (await snapshot(server))["env"] == values


# ---- what a snapshot writes --------------------------------------------------------------


@pytest.fixture
def written(server: Server) -> list[str]:
    """The tables that snapshots write to, and "commit" after each of their transactions."""
    engine, written = server.platform.store._writers.sync_engine, list[str]()

    def note(_c: object, _d: object, statement: str, *_: object) -> None:
        for table in ("session_scopes", "audit"):
            if statement.startswith(f"INSERT INTO {table} "):
                written.append(table)

    def end(_: object) -> None:
        if written and written[-1] != "commit":
            written.append("commit")

    sqlalchemy_event.listen(engine, "before_cursor_execute", note)
    sqlalchemy_event.listen(engine, "commit", end)
    return written


async def _snapshots_in_audit(server: Server) -> int:
    found = await server.ok("GET", "/api/admin/audit?action=credential.snapshot", None)
    return len(found["entries"])


async def test_a_snapshot_is_one_transaction(server: Server, written: list[str]) -> None:
    """Its scope with its entry of the audit; an equal one soon after has that alone."""
    await snapshot(server, projectId="p")
    noted = ["session_scopes", "audit", "commit"]
    assert written == noted
    await snapshot(server, projectId="p")
    await until(lambda: written == [*noted, "audit", "commit"])
    written.clear()
    await snapshot(server, projectId="q")
    assert written == noted
    assert await _snapshots_in_audit(server) == 3


@pytest.mark.parametrize("step", [NOTE_AGAIN, timedelta(days=1), -timedelta(days=1)])
async def test_a_snapshot_is_noted_again_in_time(
    server: Server, written: list[str], step: timedelta
) -> None:
    """Long before it no longer counts, and if the clock was set."""
    await snapshot(server, projectId="p")
    written.clear()
    object.__setattr__(server.platform, "now", lambda: utc_now() + step)
    await snapshot(server, projectId="p")
    assert written == ["session_scopes", "audit", "commit"]


async def test_a_snapshot_of_other_values_is_noted(
    server: Server, written: list[str]
) -> None:
    """The version that a session has been given is known at once."""
    await snapshot(server)
    await put(server, "github", {"TOKEN": "new"})
    written.clear()
    await snapshot(server)
    assert written[0] == "session_scopes"


def test_what_is_noted_counts_until_it_is_noted_again() -> None:
    """With as much time between as between two snapshots of a session."""
    assert SCOPE_LIFETIME >= 4 * NOTE_AGAIN
