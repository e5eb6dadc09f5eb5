"""Credentials, audit, keys and users: what their pages show and do."""

from datetime import timedelta
from typing import Any
from urllib.parse import quote

import anyio
import pytest
from console_browser import PASSWORD, SAME_ORIGIN, Browser, Page, browsing, set_password
from databases import one_database
from deadlines import HANG_SECONDS
from platform_server import OWNER, Server
from sqlalchemy import event, insert, update

from rensei_platform.ids import new_id
from rensei_platform.store.tables import keys, rotations

pytestmark = pytest.mark.slow

CREDENTIALS, AUDIT, ACCESS = "/console/credentials", "/console/audit", "/console/access"
BOB = "bob@acme.test"
SECRET = "ghp_a_secret_value"


async def _set_value(server: Server, kind: str = "github", value: str = SECRET) -> None:
    path = f"/api/admin/credentials/{kind}/values"
    await server.ok("PUT", path, {"values": {"GITHUB_TOKEN": value}})


@one_database
async def test_a_rotation_leads_to_its_receipt(owner: Browser) -> None:
    """By a page that says what it does; the audit has it as the API's."""
    await _set_value(owner.server)
    page = await owner.get(CREDENTIALS)
    assert "github database" in page.text
    assert "GITHUB_TOKEN" in page.text
    page = await owner.get(f"{CREDENTIALS}/github/rotate")
    page = await owner.submit(page.form("/rotate"))
    assert page.path.startswith("/console/rotations/rot_")
    assert "Safe to revoke the old value: yes" in page.text
    page = await owner.get(CREDENTIALS)
    assert "0 notified" in page.text
    entries: list[dict[str, str]] = []
    with anyio.fail_after(HANG_SECONDS):  # it is written after the answer
        while "credential.rotate" not in [one["action"] for one in entries]:
            entries = (await owner.server.ok("GET", "/api/admin/audit"))["entries"]
    assert entries[0]["object"] == "github"
    for path in (CREDENTIALS, AUDIT, page.path):
        assert SECRET not in (await owner.get(path)).source


@one_database
async def test_a_receipt_names_who_is_behind(owner: Browser) -> None:
    """And lets hosts that do not count be left out."""
    server = owner.server
    await _set_value(server)
    made = await server.ok("POST", "/api/admin/keys", {"name": "h", "forHost": True})
    body = {"hostname": "build-07", "machineId": "m", "capacity": 4}
    worker = await server.ok("POST", "/api/workers/register", body, key=made["key"])
    snapshot = {"orgId": "org_acme", "sessionId": "deploy", "projectId": "p"}
    got = await server.ok(
        "POST", "/api/daemon/credentials/snapshot", snapshot, key=made["key"]
    )
    consumers = {"confirmed": 1, "received": 0, "unknown": 0}
    one = {"id": "deploy", "version": got["version"], "consumers": consumers, "behind": []}
    await server.ok(
        "POST",
        f"/api/workers/{worker['workerId']}/heartbeat",
        {"activeCount": 1, "uptake": [one]},
        key=worker["runtimeToken"],
    )
    page = await owner.get(f"{CREDENTIALS}/github/rotate")
    page = await owner.submit(page.form("/rotate"))
    assert "Safe to revoke the old value: no 1 session is behind" in page.text
    assert "build-07 deploy" in page.text
    form = next(form for form in page.forms if form.method == "get")
    page = await owner.submit(form, without="build-07", accept="")
    assert "Safe to revoke the old value: yes" in page.text
    page = await owner.submit(form, without="nobody", accept="")
    assert page.status == 404


async def _snapshot(server: Server, session: str, project: str) -> int:
    body = {"orgId": "org_acme", "sessionId": session, "projectId": project}
    answer = await server.ok("POST", "/api/daemon/credentials/snapshot", body)
    return int(answer["version"])


def _report(session: str, version: int, *behind: str, **consumers: int) -> Any:
    counts = {"confirmed": 1, "received": 0, "unknown": 0} | consumers
    return {"id": session, "version": version, "consumers": counts, "behind": behind}


async def _rotate(server: Server, kind: str) -> str:
    body = {"orgId": "org_acme", "kind": kind}
    answer = await server.ok("POST", "/api/daemon/credentials/rotate", body)
    return str(answer["rotationId"])


async def test_each_rotation_of_the_list_has_its_bar(owner: Browser) -> None:
    """With the counts of its receipt: of the sessions that see its kind."""
    server = owner.server
    await _set_value(server)
    body = {"values": {"NPM_TOKEN": "t"}, "projectId": "p"}
    await server.ok("PUT", "/api/admin/credentials/npm/values", body)
    worker = await server.register()
    sessions = {"a": "p", "b": "q", "c": "q", "d": "p"}
    first = {one: await _snapshot(server, one, sessions[one]) for one in sessions}
    await worker.beat(uptake=[_report(one, first[one]) for one in sessions])
    rotated = [await _rotate(server, "github"), await _rotate(server, "npm")]
    second = {one: await _snapshot(server, one, sessions[one]) for one in "abc"}
    await worker.beat(
        uptake=[
            _report("a", second["a"]),
            _report("b", second["b"], received=1),
            _report("c", second["c"], "a hook"),
            _report("d", first["d"]),
        ]
    )
    page = await owner.get(CREDENTIALS)
    for rotation, expected in zip(
        rotated,
        (
            "notified 0 , held 3 , confirmed 1 , received 1 , behind 2",
            "notified 0 , held 1 , confirmed 1 , behind 1",
        ),
        strict=True,
    ):
        assert expected in page.text
        found = await server.ok("GET", f"/api/admin/rotations/{rotation}")
        receipt = found["receipt"] | {"behind": found["receipt"]["behindCount"]}
        for count in expected.split(" , "):
            name, number = count.split()
            assert receipt[name] == int(number), (rotation, name)


async def test_the_list_of_rotations_asks_once_for_all(owner: Browser) -> None:
    """However many there are."""
    server = owner.server
    await _set_value(server)
    engine = server.platform.store._readers.sync_engine
    statements: list[str] = []

    def note(*call: Any) -> None:
        if "uptake" in call[2]:  # others are also the server's own, in the background
            statements.append(call[2])

    counts = []
    for _ in range(3):
        await _rotate(server, "github")
        event.listen(engine, "before_cursor_execute", note)
        assert "notified 0" in (await owner.get(CREDENTIALS)).text
        event.remove(engine, "before_cursor_execute", note)
        counts.append(len(statements))
        statements.clear()
    assert counts == [1, 1, 1]


@one_database
async def test_a_page_that_is_asked_for_nonsense_says_so(owner: Browser) -> None:
    """Places are whole numbers, and what is left out of a receipt is bounded."""
    worker = await owner.server.register()
    await _set_value(owner.server)
    receipt = f"/console/rotations/{await _rotate(owner.server, 'github')}"
    host = f"/console/hosts/{worker.host_id}"
    for path in (CREDENTIALS, AUDIT, host):
        for before in ("x", "-1", "1" * 19, "\N{ARABIC-INDIC DIGIT ONE}"):
            page = await owner.get(path, params={"before": before})
            assert (page.status, "whole number" in page.text) == (400, True), path
    many = {"without": [f"h{number}" for number in range(101)]}
    page = await owner.get(receipt, params=many)
    assert (page.status, "At most 100 hosts" in page.text) == (400, True)


@one_database
async def test_an_unknown_kind_or_rotation_is_not_found(owner: Browser) -> None:
    """Also when a form asks for it."""
    token = (await owner.get(CREDENTIALS)).form("/sign-out").fields
    for path in (f"{CREDENTIALS}/none/rotate", "/console/rotations/rot_none"):
        assert (await owner.get(path)).status == 404
    answer = await owner.http.post(
        f"{CREDENTIALS}/none/rotate", data=token, headers=SAME_ORIGIN
    )
    assert answer.status_code == 404


async def test_rotations_are_in_pages_with_their_latencies(
    owner: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each stands on one page, and in its plot."""
    monkeypatch.setattr("rensei_platform.console.credential_pages.ROTATIONS_A_PAGE", 3)
    platform = owner.server.platform
    rows = [
        {
            "org_id": "org_acme",
            "version": number,
            "id": new_id("rot"),
            "kind": "github",
            "requested_by": OWNER,
            "rotated_at": platform.now(),
            "session_count": number,
            "duration_ms": 10**number,
        }
        for number in range(1, 6)
    ]
    async with platform.store.write() as db:
        await db.execute(insert(rotations), rows)
    page = await owner.get(CREDENTIALS)
    seen = [one for one in page.links() if "/rotations/" in one]
    assert len([tag for tag, at in page.elements if at.get("class") == "ms"]) == 3
    (older,) = [one for one in page.links() if "before=" in one]
    page = await owner.get(older)
    seen += [one for one in page.links() if "/rotations/" in one]
    expected = [f"/console/rotations/{row['id']}" for row in reversed(rows)]
    assert seen == expected


async def test_the_audit_is_filtered_and_in_pages(
    owner: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By who, what and since when; the next page keeps the filters."""
    monkeypatch.setattr("rensei_platform.console.audit_pages.ENTRIES_A_PAGE", 2)
    for number in range(5):
        await owner.server.ok("POST", "/api/admin/hosts", {"name": f"h{number}"})
    page, count = await owner.get(AUDIT, params={"action": "host.add"}), 0
    while True:
        count += len([word for word in page.words if word == "host.add"]) - 1
        following = [one for one in page.links() if "before=" in one]
        if not following:
            break
        assert "action=host.add" in following[0]
        page = await owner.get(following[0])
    assert count == 5
    today = owner.server.platform.now()
    for params, found in (
        ({"actor": "nobody"}, False),
        ({"since": f"{today:%Y-%m-%d}"}, True),
        ({"since": f"{today + timedelta(days=1):%Y-%m-%d}"}, False),
    ):
        page = await owner.get(AUDIT, params=params)
        assert ("Nothing that fits." not in page.text) is found, params
    for params in ({"since": "yesterday"}, {"before": "x"}, {"actor": "x" * 2000}):
        assert (await owner.get(AUDIT, params=params)).status == 400, params


async def test_outcomes_are_counted_by_day(owner: Browser) -> None:
    """When a host decides, and when somebody cancels."""
    worker = await owner.server.register()
    applied, failed = await worker.enqueue(), await worker.enqueue()
    await worker.beat()
    await worker.beat(
        appliedMutations=[applied], mutationFailures=[{"id": failed, "error": "no"}]
    )
    await worker.beat(appliedMutations=[applied, failed])  # the first outcome counts
    path = f"/api/daemon/mutations/{await worker.enqueue()}"
    await owner.server.ok("DELETE", path)
    assert (await owner.server.call("DELETE", path)).status_code == 409
    page = await owner.get(AUDIT)
    assert "applied 1 failed 1 cancelled 1" in page.text
    today = owner.server.platform.now()
    assert f"{today:%Y-%m-%d} 1 1 1" in page.text


@one_database
async def test_a_key_is_shown_once_and_revoked(owner: Browser) -> None:
    """With the limits that were asked for."""
    server = owner.server
    page = await owner.get(ACCESS)
    form = page.form("/access/keys")
    page = await owner.submit(
        form, **{"name": "ci", "for": "hosts", "projects": "a, b", "environments": ""}
    )
    (key,) = [word for word in page.words if word.startswith("rsk_live_")]
    assert (await server.call("GET", "/api/admin/hosts", key=key)).status_code == 403
    page = await owner.get(ACCESS)
    assert key not in page.source
    assert key[:12] in page.source
    assert "projects a, b" in page.text
    (revoke, *_) = [one for one in page.links() if one.endswith("/revoke")]
    page = await owner.get(revoke)
    page = await owner.submit(page.form("/revoke"))
    assert "The key is revoked" in page.text
    assert (await server.call("GET", "/api/admin/hosts", key=key)).status_code == 401
    page = await owner.submit(form, name="", **{"for": "people"})
    assert (page.status, "name is required" in page.text) == (400, True)


@one_database
async def test_a_limited_key_is_shown_as_a_hosts(owner: Browser) -> None:
    """Which it is, also if it was made with every scope, as before that was refused."""
    server = owner.server
    everything = (await owner.get(ACCESS)).text.count("everything its owner may")
    limited = {"name": "ci", "forHost": True, "projects": ["p"]}
    id_ = (await server.ok("POST", "/api/admin/keys", limited))["id"]
    async with server.platform.store.write() as db:
        await db.execute(update(keys).where(keys.c.id == id_).values(scopes=["*"]))
    page = await owner.get(ACCESS)
    assert "a host projects p" in page.text
    assert page.text.count("everything its owner may") == everything


@one_database
async def test_a_user_is_added_with_a_link_that_works(owner: Browser) -> None:
    """Has a role that can be changed, gets other links, and is removed."""
    server = owner.server
    form = (await owner.get(ACCESS)).form("/access/users")
    page = await owner.submit(form, email=BOB, role="member")
    first = _link(page)
    assert first.startswith(f"{server.url}/console/password#rsl_live_")
    page = await owner.get(ACCESS)
    page = await owner.submit(page.form(f"{_part(BOB)}/reset"))
    second = _link(page)
    async with browsing(server) as bob:
        for link, status in ((first, 404), (second, 200)):
            form = (await bob.get("/console/password")).forms[0]
            text = link.partition("#")[2]
            page = await bob.submit(form, link=text, password=PASSWORD, again=PASSWORD)
            assert page.status == status
        await bob.sign_in(BOB)
        page = await bob.get(ACCESS)
        assert [form.action for form in page.forms] == ["/console/sign-out"]
        assert (await bob.get(AUDIT)).status == 200
        page = await owner.get(ACCESS)
        page = await owner.submit(page.form(f"{_part(BOB)}/role"), role="admin")
        assert "The role is changed." in page.text
        assert len((await bob.get(ACCESS)).forms) > 1
        page = await owner.get(f"{ACCESS}/users/{_part(BOB)}/remove")
        page = await owner.submit(page.form("/remove"))
        assert "The user is removed" in page.text
        assert (await bob.get(AUDIT)).path == "/console/sign-in"


@one_database
@pytest.mark.parametrize("email", ["b%6fb@acme.test", "bob?x@acme.test", "bob#@acme.test"])
async def test_the_user_that_is_confirmed_is_removed(owner: Browser, email: str) -> None:
    """And not the one whose address is what a path makes of it."""
    for who in (BOB, email):
        form = (await owner.get(ACCESS)).form("/access/users")
        await owner.submit(form, email=who, role="member")
    page = await owner.get(f"{ACCESS}/users/{quote(email, safe='')}/remove")
    page = await owner.submit(page.form("/remove"))
    assert "The user is removed" in page.text
    left = (await owner.server.ok("GET", "/api/admin/users"))["users"]
    assert [one["email"] for one in left] == [OWNER, BOB]


def _part(email: str) -> str:
    return email.replace("@", "%40")


def _link(page: Page) -> str:
    (found,) = [word for word in page.words if "#rsl_live_" in word]
    return found


@one_database
async def test_the_last_owner_stays_one(owner: Browser) -> None:
    """Neither removed nor made less; and an admin makes nobody an owner."""
    page = await owner.get(ACCESS)
    form = page.form(f"{_part(OWNER)}/role")
    page = await owner.submit(form, role="member")
    assert (page.status, "last owner" in page.text) == (409, True)
    page = await owner.submit(form, role="emperor")
    assert page.status == 400
    await set_password(owner.server, BOB, role="admin")
    async with browsing(owner.server) as bob:
        await bob.sign_in(BOB)
        page = await bob.get(ACCESS)
        for email, role in ((BOB, "owner"), (OWNER, "member")):
            answer = await bob.submit(page.form(f"{_part(email)}/role"), role=role)
            assert answer.status == 403
        answer = await bob.submit(page.form("/access/users"), email="e@x.y", role="owner")
        assert (answer.status, "Only an owner" in answer.text) == (403, True)


@one_database
@pytest.mark.parametrize("role", ["member", "auditor"])
async def test_who_may_not_act_is_refused(server: Server, role: str) -> None:
    """By every form, whatever the page shows."""
    await _set_value(server)
    await set_password(server, BOB, role=role)
    key = (await server.ok("GET", "/api/admin/keys"))["keys"][0]["id"]
    async with browsing(server) as bob:
        token = (await bob.sign_in(BOB)).form("/sign-out").fields
        for path in (
            f"{CREDENTIALS}/github/rotate",
            f"{ACCESS}/keys",
            f"{ACCESS}/keys/{key}/revoke",
            f"{ACCESS}/users",
            f"{ACCESS}/users/{OWNER}/reset",
            f"{ACCESS}/users/{OWNER}/role",
            f"{ACCESS}/users/{OWNER}/remove",
        ):
            data = token | {"name": "k", "email": "eve@acme.test", "role": "member"}
            answer = await bob.http.post(path, data=data, headers=SAME_ORIGIN)
            assert answer.status_code == 403, path
        for path in (
            f"{CREDENTIALS}/github/rotate",
            f"{ACCESS}/keys/{key}/revoke",
            f"{ACCESS}/users/{OWNER}/remove",
        ):
            assert (await bob.get(path)).status == 403
    assert len((await server.ok("GET", "/api/admin/users"))["users"]) == 2


async def test_another_organization_can_be_looked_at_by_its_members(
    owner: Browser,
) -> None:
    """One that the user does not belong to is not there."""
    server = owner.server
    body = {"id": "org_two", "name": "Two", "owner": OWNER}
    await server.ok("POST", "/api/admin/orgs", body)
    await server.ok(
        "POST", "/api/admin/orgs", body | {"id": "org_x", "owner": "eve@x.test"}
    )
    await server.register()
    assert "build-07" in (await owner.get("/console/hosts")).text
    form = (await owner.get("/console/account")).form("/organization")
    page = await owner.submit(form, org="org_two")
    assert "build-07" not in page.text
    assert "Two · ada@acme.test" in page.text
    assert (await owner.submit(form, org="org_x")).status == 404


async def test_details_of_entries_are_readable() -> None:
    """Whatever they hold."""
    from rensei_platform.console.audit_pages import details_of

    assert details_of(None) == ""
    assert details_of({"op": "x", "names": ["a", "b"], "n": 0}) == "op x, names a b, n 0"
