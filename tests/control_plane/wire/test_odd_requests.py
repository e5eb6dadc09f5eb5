"""Requests of odd shapes: refused in words, and nothing is stored that harms later ones."""

import json
from typing import Any

import anyio
import pytest
from databases import one_database
from deadlines import HANG_SECONDS
from platform_server import ORG, Server
from sqlalchemy import update

from rensei_platform.rules.callers import Access
from rensei_platform.store.tables import keys

MUTATIONS = "/api/daemon/mutations"
SNAPSHOT = "/api/daemon/credentials/snapshot"
GITHUB = "/api/admin/credentials/github/values"


def nested(depth: int) -> Any:
    """Return lists within each other."""
    value: Any = "core"
    for _ in range(depth):
        value = [value]
    return value


async def test_what_is_stored_can_be_read_again(server: Server) -> None:
    """A body may be nested 100 deep; one level more is refused."""
    host = await server.register()
    body = {"workerHostId": host.host_id, "op": "project.enable"}
    for depth, status in ((98, 200), (99, 400)):
        params = {"id": "p", "more": nested(depth)}
        asked = await server.call("POST", MUTATIONS, body | {"params": params})
        assert asked.status_code == status, asked.text
    assert asked.json() == {"error": "body must be nested at most 100 deep"}
    (found,) = (await host.history()).values()
    assert found["params"]["more"] == nested(98)


@one_database
@pytest.mark.parametrize("number", ["1e999", "-1e999", "NaN", "Infinity"])
async def test_a_number_that_json_cannot_say_is_refused(
    server: Server, number: str
) -> None:
    """It would come back as a word that no client can read."""
    content = f'{{"hostname": "h", "capacity": 1, "hostInfo": {{"load": {number}}}}}'
    headers = {"Authorization": f"Bearer {server.key}"}
    refused = await server.http.post(
        "/api/workers/register", content=content, headers=headers
    )
    assert (refused.status_code, refused.json()) == (400, {"error": "body must be JSON"})


@one_database
@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"appliedMutations": 0}, "appliedMutations must be a list"),
        ({"appliedMutations": {}}, "appliedMutations must be a list"),
        ({"mutationFailures": ""}, "mutationFailures must be a list"),
        (
            {"mutationFailures": [{"id": "x"}]},
            "mutationFailures must be a list of {id, error}",
        ),
        (
            {"appliedMutations": ["x"] * 5001},
            "appliedMutations must have at most 5000 elements",
        ),
        (
            {"mutationFailures": [{"id": "x", "error": ""}] * 5001},
            "mutationFailures must have at most 5000 elements",
        ),
    ],
)
async def test_outcomes_of_a_wrong_shape_are_refused(
    server: Server, body: dict[str, Any], told: str
) -> None:
    """With the name of the field."""
    host = await server.register()
    path = f"/api/workers/{host.id}/heartbeat"
    refused = await server.call("POST", path, {"activeCount": 0, **body}, key=host.token)
    assert (refused.status_code, refused.json()) == (400, {"error": told})


async def test_many_outcomes_count_once_each(server: Server) -> None:
    """Also among ids that no column could hold, and ids of others."""
    host = await server.register()
    one, two, three = [await host.enqueue() for _ in range(3)]
    assert await host.pending() == [one, two, three]
    strange = ["\0", "dmut_none", *map(str, range(4000))]
    await host.beat(
        appliedMutations=[*strange, one],
        mutationFailures=[
            *({"id": id_, "error": "e"} for id_ in strange),
            {"id": two, "error": "first"},
            {"id": two, "error": "second"},
        ],
    )
    found = {id_: (m["status"], m["error"]) for id_, m in (await host.history()).items()}
    assert found == {
        three: ("delivered", None),
        two: ("failed", "first"),
        one: ("applied", None),
    }


@one_database
@pytest.mark.parametrize(
    ("method", "path", "body", "told"),
    [
        (
            "POST",
            "/api/admin/keys",
            {"name": "k", "forHost": "no"},
            "forHost must be true or false",
        ),
        (
            "POST",
            "/api/admin/keys",
            {"name": "k", "personal": {}},
            "personal must be true or false",
        ),
        (
            "POST",
            "/api/admin/users",
            {"email": "a\u0099b@x.test", "role": "member"},
            "email must be an address such as ada@acme.test",
        ),
        ("PUT", "/api/admin/hosts/h/status", {"hostStatus": {}}, "status is required"),
        (
            "PUT",
            "/api/admin/hosts/h/status",
            {"hostStatus": {"status": "ok", "candidatePoolIds": "p"}},
            "candidatePoolIds must be a list of strings",
        ),
        (
            "POST",
            "/api/admin/orgs",
            {"id": "a/b", "name": "n", "owner": "o@x.test"},
            "id must have at most 128 of A-Z a-z 0-9 _ . : @ + -",
        ),
        (
            "POST",
            "/api/admin/hosts",
            {"name": "h", "id": ".."},
            "id must have at most 128 of A-Z a-z 0-9 _ . : @ + -",
        ),
        (
            "PUT",
            GITHUB,
            {"values": {"TOKEN": "t"}, "projectId": "a/b"},
            "projectId must have at most 128 of A-Z a-z 0-9 _ . : @ + -",
        ),
        (
            "PUT",
            GITHUB,
            {"values": {"TOKEN": "t"}, "projectId": ""},
            "projectId is empty; omit it if all may have the values",
        ),
        (
            "PUT",
            "/api/admin/credentials/github/binding",
            {"provider": "database", "path": "p", "envName": ""},
            "envName is empty; omit it if all may have the values",
        ),
        (
            "DELETE",
            "/api/admin/credentials/github/binding?projectId=",
            None,
            "projectId is empty; omit it if all may have the values",
        ),
        ("POST", "/api/admin/hosts", {"name": " \u2003\u200b"}, "name is blank"),
        ("POST", "/api/admin/keys", {"name": " "}, "name is blank"),
        ("POST", "/api/admin/keys", {"name": "\u00a0", "personal": True}, "name is blank"),
        (
            "POST",
            "/api/admin/hosts",
            {"name": "build\u001b[2K"},
            "name must not contain control characters",
        ),
        (
            "POST",
            "/api/admin/orgs",
            {"id": "org_b", "name": "B\u2028", "owner": "o@x.test"},
            "name must not contain control characters",
        ),
        (
            "POST",
            "/api/admin/keys",
            {"name": "ci", "projects": ["p"]},
            "Projects and environments limit a host's key only",
        ),
        (
            "PUT",
            "/api/admin/credentials/%E2%80%AEk/binding",
            {"provider": "database", "path": "p"},
            "kind must have at most 128 of A-Z a-z 0-9 _ . : @ + -",
        ),
    ],
)
async def test_a_field_of_a_wrong_shape_is_refused(
    server: Server, method: str, path: str, body: Any, told: str
) -> None:
    """With its name, before anything is looked up."""
    refused = await server.call(method, path, body)
    assert (refused.status_code, refused.json()) == (400, {"error": told})


@one_database
@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"0": "v"}, "'0' is not the name of a variable"),
        ({"A B": "v"}, "'A B' is not the name of a variable"),
        (
            {f"N{i}": "v" * 262_144 for i in range(4)},
            "more than 1048576 bytes or 500 values",
        ),
        ({f"N{i}": "v" for i in range(500)}, "more than 1048576 bytes or 500 values"),
    ],
)
async def test_values_that_could_not_be_resolved_are_not_stored(
    server: Server, values: dict[str, str], told: str
) -> None:
    """A wrong name would end every snapshot of the organization with 503."""
    await server.ok("PUT", GITHUB, {"values": {"TOKEN": "t"}})
    refused = await server.call("PUT", GITHUB, {"values": values})
    assert (refused.status_code, refused.json()) == (400, {"error": told})
    taken = await server.ok("POST", SNAPSHOT, {"orgId": ORG, "sessionId": "s"})
    assert taken["env"] == {"TOKEN": "t"}


@one_database
async def test_a_whole_number_may_have_a_point(server: Server) -> None:
    """JSON knows one kind of number: 4.0 is 4."""
    host = await server.register(capacity=4.0)
    await host.beat(maxSessions=3.0)
    found = (await server.ok("GET", f"/api/admin/hosts/{host.host_id}"))["host"]
    assert (repr(found["capacity"]), repr(found["reported"]["maxSessions"])) == ("4", "3")


@one_database
async def test_a_poll_takes_a_token_or_a_key(server: Server) -> None:
    """Of the worker, or of its organization with the scope; nobody else polls."""
    host, other = await server.register(), await server.register("build-08")
    path = f"/api/workers/{host.id}/poll"
    for key in (host.token, server.key):
        assert await server.ok("GET", path, key=key) == {"work": []}
    assert (await server.http.get(path)).status_code == 401
    assert (await server.call("GET", path, key=other.token)).status_code == 403
    assert (await server.call("GET", "/api/workers/wkr_no/poll")).status_code == 404
    async with server.platform.store.write() as db:
        await db.execute(update(keys).values(scopes=[Access.HEARTBEAT]))
    assert (await server.call("GET", path)).status_code == 403


@one_database
async def test_a_wrong_method_is_told_the_right_ones(server: Server) -> None:
    """All of the path's, not those of its first route."""
    refused = await server.call("PATCH", MUTATIONS)
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD, POST")
    assert refused.json() == {"error": "Method Not Allowed"}


@one_database
@pytest.mark.parametrize(
    "sent",
    [
        b"GARBAGE\r\n\r\n",
        b"GET /healthz HTTP/9.9\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
    ],
)
async def test_what_is_not_http_is_answered_as_all_else(
    server: Server, sent: bytes
) -> None:
    """With an error in JSON, though no application sees it; the connection ends."""
    host, port = server.url.removeprefix("http://").split(":")
    async with await anyio.connect_tcp(host, int(port)) as connection:
        await connection.send(sent)
        answer = b""
        with anyio.fail_after(HANG_SECONDS):
            async for part in connection:
                answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"content-type: application/json" in head
    assert json.loads(body) == {"error": "The request is not HTTP"}


@one_database
async def test_an_upgrade_is_answered_as_usual(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody who asks for a WebSocket has the log give advice for developers."""
    asked = {"Connection": "Upgrade", "Upgrade": "websocket"}
    answer = await server.http.get("/healthz", headers=asked)
    assert answer.status_code == 200
    assert caplog.messages == []
