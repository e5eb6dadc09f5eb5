"""The pages of hosts: what they show, and how a change is asked for."""

import json
from datetime import timedelta
from typing import Any

import pytest
from console_browser import Browser, Page, browsing, set_password
from databases import one_database
from platform_server import Server, Worker

from rensei_platform.rules.mutations import Op

pytestmark = pytest.mark.slow

HOSTS = "/console/hosts"

FIELDS = {
    "project.add": {"id": "proj_a", "repository": "https://github.com/acme/a"},
    "project.remove": {"id": "proj_a"},
    "project.enable": {"id": "proj_a"},
    "project.disable": {"id": "proj_a"},
    "pool.deleted": {"poolId": "p", "candidatePoolIds": "q, r", "reason": "old"},
    "modelAccess.set": {"workload": "w", "policy": '{"authOrder": ["byok"]}'},
    "modelAccess.clear": {"workload": ""},
}
PARAMS = FIELDS | {
    "pool.deleted": {"poolId": "p", "candidatePoolIds": ["q", "r"], "reason": "old"},
    "modelAccess.set": {"workload": "w", "policy": {"authOrder": ["byok"]}},
    "modelAccess.clear": {},
}


def lists(depth: int) -> str:
    """Return the JSON of lists within each other."""
    return "[" * depth + "]" * depth


def _path(worker: Worker) -> str:
    return f"{HOSTS}/{worker.host_id}"


async def _preview(browser: Browser, worker: Worker, op: str) -> Page:
    page = await browser.get(f"{_path(worker)}/ask/{op}")
    fields = {f"param_{name}": value for name, value in FIELDS[op].items()}
    return await browser.submit(page.form(f"/ask/{op}"), **fields)


async def _send(browser: Browser, worker: Worker, op: str = "project.enable") -> Page:
    page = await _preview(browser, worker, op)
    return await browser.submit(page.form("/mutations"))


@one_database
async def test_every_operation_has_a_form(owner: Browser) -> None:
    """Its fields make the params, and the preview shows the request that is sent."""
    worker = await owner.server.register()
    before: dict[str, Any] = {}
    for op in Op:
        page = await _preview(owner, worker, op)
        assert (page.status, await worker.history()) == (200, before), op
        (shown,) = [text for text in page.words if '"workerHostId"' in text]
        expected = {"workerHostId": worker.host_id, "op": op, "params": PARAMS[op]}
        assert json.loads(shown) == expected
        page = await owner.submit(page.form("/mutations"))
        assert (page.path, "on its way" in page.text) == (_path(worker), True), op
        after = await worker.history()
        (mutation,) = (after[id_] for id_ in after.keys() - before.keys())
        assert (mutation["op"], mutation["params"]) == (op, PARAMS[op])
        assert mutation["requestedBy"] == "ada@acme.test"
        before = after


@one_database
async def test_a_form_sent_twice_asks_once(owner: Browser) -> None:
    """As a double click does, or the way back and once more."""
    worker = await owner.server.register()
    form = (await _preview(owner, worker, "project.enable")).form("/mutations")
    for _ in range(2):
        assert (await owner.submit(form)).status == 200
    assert len(await worker.history()) == 1


NONSENSE = (
    ("project.add", {"param_id": "a"}, "params.repository"),
    ("project.enable", {"param_id": "  "}, "params.id"),
    ("modelAccess.set", {"param_policy": "{"}, "Policy must be JSON: "),
    ("modelAccess.set", {"param_policy": "[]"}, "Policy must be a JSON object"),
    ("modelAccess.set", {"param_policy": "[" * 100_000}, "Policy must be JSON"),
    ("modelAccess.set", {"param_policy": '{"x": NaN}'}, "Policy must be JSON"),
    ("modelAccess.set", {"param_policy": '{"x": 1e999}'}, "Policy must be JSON"),
    (
        "modelAccess.set",
        {"param_policy": f'{{"x": {lists(98)}}}'},
        "Policy must be nested at most 98 deep",
    ),
    ("modelAccess.set", {"param_policy": '{"matrix": 1}'}, "matrix"),
)
"""(operation, fields, what is said)"""


@one_database
async def test_nonsense_comes_back_with_what_is_wrong(owner: Browser) -> None:
    """And with what was filled in."""
    worker = await owner.server.register()
    for op, fields, told in NONSENSE:
        page = await owner.get(f"{_path(worker)}/ask/{op}")
        page = await owner.submit(page.form(f"/ask/{op}"), **fields)
        assert (page.status, told in page.text) == (400, True), (told, page.text)
    assert await worker.history() == {}


@one_database
async def test_params_of_a_form_are_those_of_the_api(owner: Browser) -> None:
    """What no other reader of JSON could read is refused, however the form was changed."""
    worker = await owner.server.register()
    form = (await _preview(owner, worker, "project.enable")).form("/mutations")
    for params, status in (
        ('{"id": "p", "x": 1e999}', 400),
        ('{"id": "p", "x": NaN}', 400),
        (f'{{"id": "p", "x": {lists(99)}}}', 400),
        (f'{{"id": "p", "x": {lists(98)}}}', 200),
    ):
        assert (await owner.submit(form, params=params)).status == status, params
    assert len(await worker.history()) == 1


@one_database
async def test_cancel_works_until_delivery(owner: Browser) -> None:
    """Then the page says delivered, and a form that is still open is told so."""
    worker = await owner.server.register()
    first = (await _send(owner, worker)).form("/cancel")
    page = await owner.submit(first)
    assert "Cancelled. The host never sees it." in page.text
    page = await _send(owner, worker)
    form = page.form("/cancel")
    await worker.beat()
    page = await owner.get(_path(worker))
    assert "delivered" in page.text
    assert not [one for one in page.forms if one.action.endswith("/cancel")]
    page = await owner.submit(form)
    assert "Too late: it was delivered already" in page.text
    assert {one["status"] for one in (await worker.history()).values()} == {
        "cancelled",
        "delivered",
    }


async def test_outcomes_are_shown_with_the_words_of_the_host(owner: Browser) -> None:
    """Beside what was asked, acked and is reported."""
    worker = await owner.server.register(version="1.2.3", region="eu")
    await _send(owner, worker, "project.enable")
    (applied,) = await worker.pending()
    await _send(owner, worker, "project.remove")
    await worker.beat(appliedMutations=[applied], enabledProjectIds=["proj_a"])
    failed = next(id_ for id_ in await worker.history() if id_ != applied)
    await worker.beat(mutationFailures=[{"id": failed, "error": "guards say no"}])
    text = (await owner.get(_path(worker))).text
    assert "proj_a enabled enabled enabled agrees" in text
    for words in ("guards say no", "1.2.3", "online", "eu", "applied", "failed"):
        assert words in text, words


async def test_hosts_are_found_by_prefix_and_by_id(owner: Browser) -> None:
    """In pages; a name that stands for pattern in other places is a name here."""
    server = owner.server
    ids = {}
    for name in ("build-1", "build-2", "deploy-1", "a%b_c*", "same", "same"):
        made = await server.ok("POST", "/api/admin/hosts", {"name": name})
        ids[name] = made["id"]
    for query, found in (
        ("build", ["build-1", "build-2"]),
        ("a%b", ["a%b_c*"]),
        ("%", []),
        ("nobody", []),
        (ids["deploy-1"], ["deploy-1"]),
    ):
        page = await owner.get(HOSTS, params={"q": query})
        links = [one for one in page.links() if one.startswith(f"{HOSTS}/")]
        assert len(links) == len(found), query
        assert all(name in page.text for name in found)


async def test_every_host_is_on_one_page(
    owner: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those that share a name."""
    monkeypatch.setattr("rensei_platform.console.host_pages.HOSTS_A_PAGE", 2)
    server = owner.server
    made = [
        (await server.ok("POST", "/api/admin/hosts", {"name": name}))["id"]
        for name in ("same", "same", "same", "other", "z")
    ]
    page, seen = await owner.get(HOSTS), []
    while True:
        seen += [one for one in page.links() if one.startswith(f"{HOSTS}/host_")]
        following = [one for one in page.links() if "after=" in one]
        if not following:
            break
        page = await owner.get(following[0])
    assert sorted(seen) == sorted(f"{HOSTS}/{id_}" for id_ in made)


@one_database
async def test_another_organization_is_not_there(owner: Browser) -> None:
    """Neither its hosts, nor forms for them, nor its mutations to cancel."""
    server = owner.server
    worker = await server.register()
    mutation_id = await worker.enqueue()
    body = {"id": "org_other", "name": "Other", "owner": "eve@other.test"}
    key = (await server.ok("POST", "/api/admin/orgs", body))["key"]
    made = await server.ok("POST", "/api/admin/users/eve@other.test/reset", key=key)
    body = {"link": made["link"], "password": "correct horse battery"}
    await server.ok("POST", "/api/password", body)
    async with browsing(server) as eve:
        page = await eve.sign_in("eve@other.test")
        assert "No host has registered yet" in page.text
        assert "build-07" not in (await eve.get(HOSTS, params={"q": worker.host_id})).text
        token = page.form("/sign-out").fields
        for path in (_path(worker), f"{_path(worker)}/ask/project.enable"):
            assert (await eve.get(path)).status == 404
        for path in ("/mutations", f"/mutations/{mutation_id}/cancel", "/ask/project.add"):
            answer = await eve.http.post(
                _path(worker) + path,
                data=token | {"op": "project.enable", "params": '{"id": "p"}'},
                headers={"sec-fetch-site": "same-origin"},
            )
            assert answer.status_code in (400, 404), path
    assert [one["status"] for one in (await worker.history()).values()] == ["pending"]


@one_database
@pytest.mark.parametrize("role", ["member", "auditor"])
async def test_roles_that_read_have_no_forms(server: Server, role: str) -> None:
    """And are refused if they send one."""
    await set_password(server, "bob@acme.test", role=role)
    worker = await server.register()
    mutation_id = await worker.enqueue()
    async with browsing(server) as bob:
        await bob.sign_in("bob@acme.test")
        page = await bob.get(_path(worker))
        assert page.status == 200
        assert [form.action for form in page.forms] == ["/console/sign-out"]
        token = page.form("/sign-out").fields
        for path in ("/mutations", f"/mutations/{mutation_id}/cancel", "/ask/project.add"):
            answer = await bob.http.post(
                _path(worker) + path,
                data=token | {"op": "project.enable", "params": '{"id": "p"}'},
                headers={"sec-fetch-site": "same-origin"},
            )
            assert answer.status_code == 403, path
    assert [one["status"] for one in (await worker.history()).values()] == ["pending"]


async def test_a_cloned_host_says_so(owner: Browser, server: Server) -> None:
    """With what to do about it, while two daemons report as it."""
    original, clone = await server.register(), await server.register()
    assert "Two daemons" not in (await owner.get(_path(clone))).text
    later = server.platform.now() + timedelta(minutes=2)
    object.__setattr__(server.platform, "now", lambda: later)
    await clone.beat()
    await original.beat()
    await server.platform.presence.write(server.platform.store)
    assert "Two daemons report as this host" in (await owner.get(_path(clone))).text
