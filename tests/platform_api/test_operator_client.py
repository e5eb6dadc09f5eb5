"""The operator's requests, and their answers."""

from typing import TYPE_CHECKING

import pytest

from rensei_daemon.errors import RefusedError, TransientError
from rensei_daemon.platform_api import operator_client
from rensei_daemon.platform_api.http import Http
from rensei_daemon.platform_api.operator_client import (
    OperatorClient,
    RemoteMutation,
    Rotation,
)

if TYPE_CHECKING:
    from platform_api.conftest import FaultServer

KEY = "rsk_live_" + "c0ffee" * 10 + "beef"
ITEM = {
    "id": "dmut_1",
    "orgId": "org_1",
    "workerHostId": "host_1",
    "op": "project.remove",
    "params": {"id": "proj_a"},
    "status": "pending",
    "requestedBy": "ann",
    "deliveredAt": None,
    "cancelledAt": None,
    "createdAt": "2026-09-01T00:00:00Z",
}
MUTATION = RemoteMutation(
    id="dmut_1",
    op="project.remove",
    params={"id": "proj_a"},
    status="pending",
    worker_host_id="host_1",
    org_id="org_1",
    requested_by="ann",
    created_at="2026-09-01T00:00:00.000Z",
    delivered_at="",
    cancelled_at="",
)


async def test_mutations_are_listed(server: "FaultServer", http: Http) -> None:
    """Host and limit are sent; items without an id are ignored."""
    server.plan("mutations", server.say(200, {"mutations": [ITEM, 7, {"id": None}]}))
    found = await OperatorClient(http, KEY).list_mutations("host_1", limit=5)
    assert found == (MUTATION,)
    [request] = server.received
    assert request.path == "/api/daemon/mutations?workerHostId=host_1&limit=5"
    assert (request.method, request.bearer) == ("GET", KEY)


async def test_a_mutation_is_enqueued(server: "FaultServer", http: Http) -> None:
    """Host, op and params are sent; the platform's record is returned."""
    server.plan("mutations", server.say(201, {"mutation": ITEM}))
    client = OperatorClient(http, KEY)
    assert (
        await client.enqueue_mutation("host_1", "project.remove", {"id": "proj_a"})
        == MUTATION
    )
    assert server.received[0].json == {
        "workerHostId": "host_1",
        "op": "project.remove",
        "params": {"id": "proj_a"},
    }


@pytest.mark.parametrize("body", [{}, {"mutation": {}}, {"mutation": {"id": 7}}, []])
async def test_an_enqueued_mutation_has_an_id(
    server: "FaultServer", http: Http, body: object
) -> None:
    """An answer without an id is an error."""
    server.plan("mutations", server.say(200, body))
    with pytest.raises(TransientError):
        await OperatorClient(http, KEY).enqueue_mutation("host_1", "x", {})


async def test_a_mutation_is_cancelled(server: "FaultServer", http: Http) -> None:
    """Its id is the path, quoted."""
    server.plan("mutations", server.say(200, {"cancelled": True}))
    await OperatorClient(http, KEY).cancel_mutation("dmut/1")
    assert (server.received[0].method, server.received[0].path) == (
        "DELETE",
        "/api/daemon/mutations/dmut%2F1",
    )


async def test_a_delivered_mutation_cannot_be_cancelled(
    server: "FaultServer", http: Http
) -> None:
    """409 is a refusal with the platform's message."""
    body = {"cancelled": False, "reason": "already_delivered"}
    server.plan("mutations", server.say(409, body))
    with pytest.raises(RefusedError) as caught:
        await OperatorClient(http, KEY).cancel_mutation("dmut_1")
    assert (caught.value.status, caught.value.detail) == (409, "already_delivered")


async def test_a_rotation_tells_how_many_sessions_heard(
    server: "FaultServer", http: Http
) -> None:
    """Organisation and kind are sent; a missing count is 0."""
    body = {
        "ok": True,
        "kind": "github",
        "sessionCount": 3,
        "rotatedAt": "2026-09-01T00:00:00Z",
    }
    server.plan("rotate", server.say(200, body), server.say(200, {"sessionCount": "3"}))
    client = OperatorClient(http, KEY)
    assert await client.rotate_credential("org_1", "github") == Rotation(
        kind="github", session_count=3, rotated_at="2026-09-01T00:00:00.000Z"
    )
    assert (await client.rotate_credential("org_1", "github")).session_count == 0
    assert server.received[0].json == {"orgId": "org_1", "kind": "github"}


@pytest.mark.parametrize(
    ("said", "spelled"),
    [
        ("2026-09-01T02:00:00.5+02:00", "2026-09-01T00:00:00.500Z"),
        ("2026-09-01T02:00:00", "2026-09-01T02:00:00"),
        ("soon", "soon"),
        ("0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00+14:00"),
        (None, ""),
    ],
)
async def test_times_have_one_spelling(
    server: "FaultServer", http: Http, said: str | None, spelled: str
) -> None:
    """What is no time, or says no zone, stays as it is."""
    listed = {"mutations": [{**ITEM, "createdAt": said}]}
    server.plan("mutations", server.say(200, listed))
    [found] = await OperatorClient(http, KEY).list_mutations("host_1")
    assert found.created_at == spelled


def _page(*names: str) -> dict[str, object]:
    return {"hosts": [{"id": f"host_{name}", "name": name} for name in names]}


async def test_hosts_are_listed_page_by_page(
    server: "FaultServer", http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each page begins behind the last name; one that is not full is the last."""
    monkeypatch.setattr(operator_client, "_PAGE", 2)
    server.plan("hosts", server.say(200, _page("a", "b")), server.say(200, _page("c")))
    found = await OperatorClient(http, KEY).list_hosts()
    assert [host.name for host in found] == ["a", "b", "c"]
    assert [request.path for request in server.received] == [
        "/api/admin/hosts?limit=2",
        "/api/admin/hosts?limit=2&after=b",
    ]


async def test_a_list_of_hosts_has_an_end(
    server: "FaultServer", http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if the platform begins it again and again."""
    monkeypatch.setattr(operator_client, "_PAGE", 2)
    monkeypatch.setattr(operator_client, "MOST_HOSTS", 4)
    server.plan("hosts", *[server.say(200, _page("a", "b"))] * 3)
    assert len(await OperatorClient(http, KEY).list_hosts()) == 4
