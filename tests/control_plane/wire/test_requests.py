"""What every call has in common: bodies, errors, and what a connection costs."""

import socket
from typing import Any

import pytest
from databases import one_database
from platform_server import ORG, Server

from rensei_platform.errors import StartError
from rensei_platform.http.requests import MOST_BODY_BYTES
from rensei_platform.http.server import listen

REGISTER = "/api/workers/register"
SNAPSHOT = "/api/daemon/credentials/snapshot"


@one_database
@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{", b'{"a": NaN}', b"\xff", b"[" * 100_000, b'{"a":' * 9999]
)
async def test_a_body_that_is_no_json_object_is_refused(
    server: Server, content: bytes
) -> None:
    """With 400, however strange it is."""
    headers = {"Authorization": f"Bearer {server.key}"}
    refused = await server.http.post(REGISTER, content=content, headers=headers)
    assert refused.status_code == 400
    assert refused.json()["error"].startswith("body must be")


@one_database
async def test_a_body_that_is_too_large_is_refused(server: Server) -> None:
    """It is read to its end first, so that the sender hears why."""
    headers = {"Authorization": f"Bearer {server.key}"}
    content = b'"' + b"x" * MOST_BODY_BYTES + b'"'
    refused = await server.http.post(REGISTER, content=content, headers=headers)
    assert (refused.status_code, refused.json()) == (
        413,
        {"error": "body must have at most 4 MiB"},
    )


@one_database
@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"hostname": ""}, "hostname"),
        ({"hostname": 7}, "hostname"),
        ({"capacity": 0}, "capacity"),
        ({"capacity": "4"}, "capacity"),
        ({"capacity": True}, "capacity"),
        ({"machineId": 7}, "machineId"),
        ({"hostInfo": []}, "hostInfo"),
    ],
)
async def test_a_wrong_registration_is_refused(
    server: Server, change: dict[str, Any], named: str
) -> None:
    """The error names the field."""
    body = {"hostname": "build-07", "capacity": 4} | change
    refused = await server.call("POST", REGISTER, body)
    assert refused.status_code == 400
    assert named in refused.json()["error"]


@one_database
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/api/workers/register/", 404),
        ("PUT", REGISTER, 405),
    ],
)
async def test_other_errors_look_alike(
    server: Server, method: str, path: str, status: int
) -> None:
    """An unknown path and a wrong method are JSON errors too."""
    refused = await server.call(method, path)
    assert refused.status_code == status
    assert refused.json().keys() == {"error"}


@one_database
async def test_a_stale_token_is_sent_to_the_login_page(server: Server) -> None:
    """As the hosted platform does it: a redirect to a page for people."""
    body = {"orgId": ORG, "sessionId": "s"}
    sent = await server.call("POST", SNAPSHOT, body, key="a.b.c")
    assert (sent.status_code, sent.headers["location"]) == (307, "/login")
    for method in ("GET", "POST"):
        page = await server.http.request(method, "/login", follow_redirects=True)
        assert (page.status_code, page.url.path) == (200, "/console/sign-in")
        assert page.headers["content-type"].startswith("text/html")


@one_database
async def test_a_snapshot_of_nowhere_is_refused(server: Server) -> None:
    """It needs an organization, and a project or a session."""
    for body in ({"sessionId": "s"}, {"orgId": ORG}):
        assert (await server.call("POST", SNAPSHOT, body)).status_code == 400


@one_database
async def test_a_stream_needs_a_session(server: Server) -> None:
    """Without one there is no stream: 400."""
    path = "/api/daemon/credentials/rotate-stream"
    assert (await server.call("GET", path)).status_code == 400


async def test_what_a_host_is_told_comes_with_each_beat(server: Server) -> None:
    """Until it is taken back."""
    host = await server.register()
    assert "hostStatus" not in await host.beat()
    status = {"status": "pool_draining", "candidatePoolIds": ["pool_b"]}
    path = f"/api/admin/hosts/{host.host_id}/status"
    await server.ok("PUT", path, {"hostStatus": status})
    assert (await host.beat())["hostStatus"] == status
    await server.ok("PUT", path, {"hostStatus": None})
    assert "hostStatus" not in await host.beat()


def test_a_port_that_is_taken_says_what_to_do() -> None:
    """The error names the port, and the hint what has it."""
    with listen("127.0.0.1", 0) as first:
        first.listen()
        port = first.getsockname()[1]
        with pytest.raises(
            StartError, match=f"cannot listen on 127.0.0.1 port {port}"
        ) as e:
            listen("127.0.0.1", port)
    assert "--port" in e.value.hint


def test_an_answer_does_not_wait_for_an_acknowledgement() -> None:
    """With a protocol of 0, asyncio would leave TCP_NODELAY off: 40 ms an answer."""
    with listen("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP
