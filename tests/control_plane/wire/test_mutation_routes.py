"""Mutations over the wire: enqueued, delivered, decided, cancelled, listed."""

from typing import Any

import anyio
import httpx
import pytest
from databases import one_database
from platform_server import Server

from rensei_platform.rules.mutations import MOST_BYTES_DELIVERED


async def test_a_mutation_is_delivered_until_it_is_decided(server: Server) -> None:
    """In order, with every beat; the first outcome counts."""
    host = await server.register()
    first = await host.enqueue("project.add", id="p", repository="https://git.test/p")
    second = await host.enqueue()
    assert await host.pending() == [first, second]
    assert await host.pending() == [first, second]
    assert await host.pending(appliedMutations=[first]) == [second]
    failed = [{"id": second, "error": "no such project"}, {"id": first, "error": "late"}]
    assert await host.pending(mutationFailures=failed) == []
    assert await host.pending(appliedMutations=[second, "dmut_none"]) == []
    history = await host.history()
    assert list(history) == [second, first]
    assert (history[first]["status"], history[first]["error"]) == ("applied", None)
    assert history[second]["status"] == "failed"
    assert history[second]["error"] == "no such project"
    assert history[second]["deliveredAt"] <= history[second]["decidedAt"]


async def test_outcomes_of_what_was_not_delivered_are_counted(server: Server) -> None:
    """Another host's, what waits, what is not there: each once. A repeated one is none."""

    async def ignored() -> float:
        text = (await server.http.get("/metrics")).text
        name = "rensei_platform_ignored_acks_total "
        (line,) = (line for line in text.splitlines() if line.startswith(name))
        return float(line.removeprefix(name))

    host, other = await server.register(), await server.register("build-08")
    delivered, waiting = await host.enqueue(), await other.enqueue()
    await host.pending()
    await host.pending(appliedMutations=[delivered])
    await host.pending(appliedMutations=[delivered])
    assert await ignored() == 0
    failed = [{"id": "dmut_none", "error": "none"}, {"id": waiting, "error": "twice"}]
    await host.pending(appliedMutations=[delivered, waiting], mutationFailures=failed)
    assert await ignored() == 2
    (still,) = (await other.history()).values()
    assert (still["status"], still["error"]) == ("pending", None)
    assert await other.pending(appliedMutations=[waiting]) == [waiting]
    assert await ignored() == 3


@pytest.mark.slow
@one_database
async def test_an_answer_has_at_most_4_mib(server: Server) -> None:
    """All of it, to the byte: what does not fit comes with the next one."""
    host = await server.register()
    status = {"status": "pool_draining", "recommendedAction": "x" * 1000}
    path = f"/api/admin/hosts/{host.host_id}/status"
    await server.ok("PUT", path, {"hostStatus": status})
    most = 256 * 1024 - len('{"poolId":"p","reason":""}')
    sent = [
        await host.enqueue("pool.deleted", poolId="p", reason="r" * most) for _ in range(17)
    ]

    async def beat(**body: Any) -> httpx.Response:
        path = f"/api/workers/{host.id}/heartbeat"
        body = {"activeCount": 0, **body}
        return await server.call("POST", path, body, key=host.token)

    first = await beat()
    found = [one["id"] for one in first.json()["pendingMutations"]]
    assert found == sent[:15]
    assert len(first.content) <= MOST_BYTES_DELIVERED
    second = await beat(appliedMutations=found)
    assert [one["id"] for one in second.json()["pendingMutations"]] == sent[15:]


async def test_a_mutation_can_be_cancelled_until_it_is_delivered(server: Server) -> None:
    """Delivered, cancelled or decided: each is a conflict; another's is not there."""
    host = await server.register()
    one, other = await host.enqueue(), await host.enqueue()
    gone = await server.call("DELETE", f"/api/daemon/mutations/{one}")
    assert (gone.status_code, gone.json()) == (200, {"cancelled": True})
    again = await server.call("DELETE", f"/api/daemon/mutations/{one}")
    late = {"cancelled": False, "reason": "already_delivered"}
    assert (again.status_code, again.json()) == (409, late)
    assert await host.pending() == [other]
    for _ in range(2):
        refused = await server.call("DELETE", f"/api/daemon/mutations/{other}")
        assert (refused.status_code, refused.json()) == (409, late)
        await host.beat(appliedMutations=[other])
    none = await server.call("DELETE", "/api/daemon/mutations/dmut_none")
    assert none.status_code == 404
    assert (await host.history())[one]["status"] == "cancelled"


async def test_cancel_and_delivery_exclude_each_other(server: Server) -> None:
    """At the same moment exactly one of them wins."""
    host = await server.register()
    ids = [await host.enqueue() for _ in range(10)]
    cancelled: set[str] = set()
    delivered: set[str] = set()

    async def cancel(id_: str) -> None:
        if (await server.call("DELETE", f"/api/daemon/mutations/{id_}")).is_success:
            cancelled.add(id_)

    async def beat() -> None:
        delivered.update(await host.pending())

    async with anyio.create_task_group() as tasks:
        for id_ in ids:
            tasks.start_soon(cancel, id_)
        tasks.start_soon(beat)
    delivered.update(await host.pending())
    assert cancelled | delivered == set(ids)
    assert not cancelled & delivered


async def test_a_quiet_beat_writes_nothing(server: Server) -> None:
    """Neither rows nor a transaction: what it says is kept in memory."""
    host = await server.register()
    await host.enqueue()
    report = {"maxSessions": 4, "allowlistHash": "h", "enabledProjectIds": []}
    await host.beat(**report)
    writes = []
    write = server.platform.store.write

    def counted() -> object:
        # Beside its requests a server forgets old rows, among other things.
        if "regularly" not in str(anyio.get_current_task().name):
            writes.append(1)
        return write()

    server.platform.store.write = counted  # type: ignore[method-assign,assignment]
    await host.beat(**report)
    assert writes == []
    await host.beat(**report | {"maxSessions": 5})
    assert writes == [1]


async def test_a_request_with_the_same_key_is_the_same_mutation(server: Server) -> None:
    """Another request with it is a conflict, and stores nothing."""
    host = await server.register()
    body = {"workerHostId": host.host_id, "op": "project.enable", "params": {"id": "p"}}
    headers = {"Idempotency-Key": "k1"}
    path = "/api/daemon/mutations"
    first = await server.ok("POST", path, body, headers=headers)
    assert await server.ok("POST", path, body, headers=headers) == first
    other = body | {"params": {"id": "q"}}
    refused = await server.call("POST", path, other, headers=headers)
    assert refused.status_code == 409
    assert len(await host.history()) == 1


@one_database
@pytest.mark.parametrize(
    ("change", "status", "named"),
    [
        ({"workerHostId": None}, 400, "workerHostId"),
        ({"workerHostId": "host_none"}, 404, "host"),
        ({"op": "project.explode"}, 400, "op"),
        ({"op": 7}, 400, "op"),
        ({"params": None}, 400, "params"),
        ({"params": {}}, 400, "params.id"),
        ({"params": {"id": "p" * 300_000}}, 400, "params"),
    ],
)
async def test_nonsense_is_refused_where_it_is_typed(
    server: Server, change: dict[str, object], status: int, named: str
) -> None:
    """With the name of what is wrong; nothing is stored."""
    host = await server.register()
    body = {"workerHostId": host.host_id, "op": "project.enable", "params": {"id": "p"}}
    refused = await server.call("POST", "/api/daemon/mutations", body | change)
    assert (refused.status_code, list(refused.json())) == (status, ["error"])
    assert named in refused.json()["error"]
    assert await host.history() == {}


@one_database
@pytest.mark.parametrize("limit", ["0", "501", "x", "-1", "1.0", "", "٣", "9" * 5000])
async def test_a_limit_is_a_whole_number_up_to_500(server: Server, limit: str) -> None:
    """Anything else is refused."""
    host = await server.register()
    params = {"workerHostId": host.host_id, "limit": limit}
    refused = await server.call("GET", "/api/daemon/mutations", params=params)
    assert refused.status_code == 400


async def test_the_mirror_keeps_what_is_omitted(server: Server) -> None:
    """An empty list clears; a missing key leaves the old value."""
    host = await server.register()
    await host.beat(
        enabledProjectIds=["p"], maxSessions=3, projectAdmissionMode="enumerated"
    )
    await host.beat(enabledProjectIds=[])
    shown = await server.ok("GET", f"/api/admin/hosts/{host.host_id}")
    assert shown["host"]["reported"] == {
        "maxSessions": 3,
        "allowlist": None,
        "allowlistHash": None,
        "enabledProjectIds": [],
        "projectAdmissionMode": "enumerated",
    }
