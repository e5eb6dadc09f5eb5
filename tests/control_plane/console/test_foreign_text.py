"""Text that hosts and people sent is never markup, and never hides anything."""

from typing import Any

import pytest
from console_browser import Browser, Page
from databases import one_database
from platform_server import ORG, Server

from rensei_platform.console.text import cut, visible

pytestmark = pytest.mark.slow

MARKUP = "<script>alert(1)</script><img src=x onerror=alert(2)>'\"`{{7*7}}&lt;"
BIDI = "safe\u202etxt.exe\u2066\u200f\ufeff"
CONTROLS = "a\x01b\x1b[31mc\x7fd\u0085e\u2028f"
LONG = "x" * 10_000
HEBREW = "שלום"
PLANTED = MARKUP + BIDI + CONTROLS + HEBREW

PAGES = ("hosts", "credentials", "audit", "access", "account")


async def _plant(server: Server) -> list[str]:
    """Put it wherever the API takes it; return the paths of the pages that show it."""
    name = PLANTED[:300]
    worker = await server.register(
        name, version=PLANTED[:200], region=PLANTED[:200], hostInfo={PLANTED: PLANTED}
    )
    for params in (
        {"id": name, "repository": LONG + PLANTED},
        {"id": PLANTED + "second", "repository": MARKUP},
    ):
        id_ = await worker.enqueue("project.add", **params)
        await worker.beat()
        failure = {"id": id_, "error": PLANTED + LONG}
        await worker.beat(mutationFailures=[failure])
    await worker.enqueue("pool.deleted", poolId=PLANTED, reason=LONG, x={PLANTED: [BIDI]})
    one = {
        "id": PLANTED[:200],
        "version": 1,
        "consumers": {"confirmed": 1},
        "behind": [PLANTED[:200]],
    }
    await worker.beat(
        uptake=[one],
        allowlist=[{"id": PLANTED, "repository": PLANTED}, "odd", {"id": LONG}],
        enabledProjectIds=[PLANTED, LONG],
        projectAdmissionMode=PLANTED,
        allowlistHash=LONG,
    )
    body: dict[str, Any] = {"hostStatus": {"status": PLANTED, "candidatePoolIds": [LONG]}}
    path = f"/api/admin/hosts/{worker.host_id}/status"
    await server.call("PUT", path, body)
    called = (MARKUP + BIDI + HEBREW)[:300]
    key = {"name": called, "forHost": True, "projects": [name], "environments": [name]}
    made = await server.ok("POST", "/api/admin/keys", key)
    values = {"values": {PLANTED[:200]: "a value"}}
    await server.call("PUT", "/api/admin/credentials/odd/values", values)
    await server.ok("PUT", "/api/admin/credentials/github/values", {"values": {"T": "v"}})
    snapshot = {"orgId": ORG, "sessionId": PLANTED[:200], "projectId": PLANTED[:200]}
    await server.ok("POST", "/api/daemon/credentials/snapshot", snapshot)
    rotated = await server.ok(
        "POST", "/api/daemon/credentials/rotate", {"orgId": ORG, "kind": "github"}
    )
    host = f"hosts/{worker.host_id}"
    return [
        host,
        f"{host}/ask/project.add?id=%3Cscript%3E",
        f"rotations/{rotated['rotationId']}",
        f"access/keys/{made['id']}/revoke",
        "credentials/github/rotate",
        "hosts?q=%3Cscript%3Ealert(1)%22%27&after=%E2%80%AE",
        "audit?actor=%3Cscript%3E%22",
    ]


def _check(page: Page, where: str) -> None:
    """Raise AssertionError if something on the page is not ours."""
    for tag, attributes in page.elements:
        names = {name for name in attributes if name.startswith("on") or name == "style"}
        assert not names, (where, tag, names)
    (script,) = [attributes for tag, attributes in page.elements if tag == "script"]
    assert (script["src"] or "").startswith("/console/static/")
    assert {at["src"] for tag, at in page.elements if tag == "img"} == {page.icon}, where
    assert "`49" not in page.source, where
    hidden = [c for c in page.source if not c.isprintable() and c not in "\n\t"]
    assert not hidden, (where, hidden[:5])
    assert "x" * 9_000 not in page.source or "<pre>" in page.source, where


async def test_planted_text_is_text_on_every_page(owner: Browser) -> None:
    """As it was sent where it can be seen, as escapes where it cannot."""
    found = await _plant(owner.server)
    for path in (*PAGES, *found):
        page = await owner.get(f"/console/{path}")
        assert page.status in (200, 404), path
        _check(page, path)
    page = await owner.get(f"/console/{found[0]}")
    assert "<script>alert(1)</script>" in page.text
    assert r"\u202e" in page.text
    assert r"\x1b[31m" in page.text
    assert HEBREW in page.text
    assert "(10," in page.text


@one_database
async def test_planted_text_is_text_in_answers_to_forms(owner: Browser) -> None:
    """What comes back in a field, in an error and in a preview; it is sent unchanged."""
    worker = await owner.server.register()
    path = f"/console/hosts/{worker.host_id}/ask/project.add"
    form = (await owner.get(path)).form("/ask/project.add")
    page = await owner.submit(form, param_id=PLANTED, param_repository="")
    _check(page, "error")
    page = await owner.submit(form, param_id=PLANTED, param_repository=HEBREW)
    _check(page, "preview")
    await owner.submit(page.form("/mutations"))
    (mutation,) = (await worker.history()).values()
    assert mutation["params"] == {"id": PLANTED.strip(), "repository": HEBREW}
    for field in ("email", "key"):
        page = await owner.get("/console/sign-in")
        answer = await owner.http.post(
            "/console/sign-in",
            data={field: MARKUP, "password": "x", "next": MARKUP},
            headers={"sec-fetch-site": "same-origin"},
        )
        _check(Page(answer), field)
    page = await owner.get("/console/access")
    page = await owner.submit(page.form("/access/keys"), name=MARKUP + BIDI)
    _check(page, "key")
    page = await owner.submit(
        (await owner.get("/console/access")).form("/users"), email=MARKUP
    )
    assert page.status == 400
    _check(page, "user")


async def test_text_that_no_database_keeps_is_refused(owner: Browser) -> None:
    """NUL, half a character, and a form that is none or too large."""
    worker = await owner.server.register()
    path = f"/console/hosts/{worker.host_id}/ask/project.enable"
    token = (await owner.get(path)).form("/sign-out").fields["csrf_token"]
    for body, status in (
        (f"csrf_token={token}&param_id=a%00b", 400),
        (f"csrf_token={token}&param_id=p&more=a%00b", 400),
        (f"csrf_token={token}&param_id=%ff%fe", 400),
        (f"csrf_token={token}&param_id=%ed%a0%80", 400),
        (f"csrf_token={token}&param_id=p&" + "a=b&" * 60, 400),
        (f"csrf_token={token}&param_id=" + "x" * 1_100_000, 413),
        ("\u00e9", 400),
    ):
        answer = await owner.http.post(
            path, content=body.encode(), headers={"sec-fetch-site": "same-origin"}
        )
        assert answer.status_code == status, body[-40:]
    for query in ("q=%00", "q=%ff", "after=%00", "q=" + "x" * 5000):
        assert (await owner.get(f"/console/hosts?{query}")).status in (200, 400), query
    assert await worker.history() == {}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é שלום", "plain é שלום"),
        ("a\u202eb\u2066", r"a\u202eb\u2066"),
        ("a\nb\tc\r", "a\nb\tc\\r"),
        ("\U000e0001", r"\U000e0001"),
    ],
)
def test_what_cannot_be_seen_is_written_out(text: str, shown: str) -> None:
    """And nothing else is changed."""
    assert visible(text) == shown


def test_what_is_long_is_cut() -> None:
    """With how long it was."""
    assert cut("abc", 3) == "abc"
    assert cut("abcd" * 1000, 3) == "abc… (4,000 characters)"
