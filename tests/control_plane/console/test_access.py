"""Who gets into the console, how far, and how a session ends."""

import re
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import anyio
import httpx
import pytest
from console_browser import (
    PASSWORD,
    SAME_ORIGIN,
    Browser,
    Page,
    browsing,
    set_password,
)
from databases import one_database
from platform_server import OWNER, Server
from sqlalchemy import select, update
from starlette.routing import Match

from rensei_platform.console.app import ROUTES
from rensei_platform.console.pages import MOST_KEPT
from rensei_platform.errors import TooManyRequestsError, UnauthorizedError
from rensei_platform.http.app import build_app
from rensei_platform.ids import digest
from rensei_platform.rules.callers import Access
from rensei_platform.services.console_sessions import (
    IDLE,
    LIFETIME,
    session_of,
    sign_in,
)
from rensei_platform.services.known_browsers import KNOWN_FOR, account_of, issue
from rensei_platform.services.limits import (
    MOST_FAILURES,
    MOST_OF_ACCOUNT,
    WINDOW_SECONDS,
)
from rensei_platform.store.tables import console_sessions, keys

pytestmark = pytest.mark.slow

HOSTS = "/console/hosts"


@one_database
async def test_a_password_lets_in_and_a_wrong_one_does_not(
    server: Server, visitor: Browser
) -> None:
    """The answer to a wrong one is the same for a user that there is and one not."""
    await set_password(server)
    for email in (OWNER, "nobody@acme.test"):
        page = await visitor.sign_in(email, "not the password")
        assert (page.status, "address or the password is wrong" in page.text) == (401, True)
    page = await visitor.sign_in()
    assert (page.status, page.path) == (200, HOSTS)
    assert "ada@acme.test" in page.text


@one_database
async def test_guessing_is_limited(server: Server, visitor: Browser) -> None:
    """By the limiter of wrong keys, which counts addresses: whoever the guesses are for."""
    await set_password(server)
    for number in range(MOST_FAILURES):
        page = await visitor.sign_in(f"user-{number}@acme.test", "wrong")
        assert page.status == 401
    page = await visitor.sign_in()
    assert (page.status, "from this address" in page.text) == (429, True)
    assert "ada" not in (await visitor.get(HOSTS)).text


@one_database
async def test_guessing_many_at_once_is_limited(server: Server, visitor: Browser) -> None:
    """They are counted before the first of them is found wrong."""
    await set_password(server)
    statuses: list[int] = []

    async def guess(number: int) -> None:
        answer = await visitor.http.post(
            "/console/sign-in",
            data={"email": OWNER, "password": f"wrong {number}"},
            headers=SAME_ORIGIN,
        )
        statuses.append(answer.status_code)

    async with anyio.create_task_group() as guesses:
        for number in range(50):
            guesses.start_soon(guess, number)
    assert sorted(statuses) == [401] * MOST_OF_ACCOUNT + [429] * (50 - MOST_OF_ACCOUNT)


async def _guess_from_everywhere(server: Server, email: str) -> int:
    """Send wrong passwords, each from an address of its own, until one is not tried."""
    for number in range(MOST_FAILURES):
        try:
            await sign_in(server.platform, email, "wrong", f"192.0.2.{number}")
        except TooManyRequestsError as error:
            return number if 0 < error.retry_after_seconds <= WINDOW_SECONDS else -1
        except UnauthorizedError:
            pass
    raise AssertionError


@one_database
async def test_guessing_from_many_addresses_is_limited(
    server: Server, visitor: Browser
) -> None:
    """For each account, the same whether it is there or not; others are let in."""
    await set_password(server)
    await set_password(server, "bob@acme.test", role="member")
    for email in (OWNER.upper(), "nobody@acme.test"):
        assert await _guess_from_everywhere(server, email) == MOST_OF_ACCOUNT
    page = await visitor.sign_in()
    assert (page.status, "for this account" in page.text) == (429, True)
    assert (await visitor.sign_in("bob@acme.test")).path == HOSTS


@one_database
async def test_a_stranger_keeps_no_owner_out(server: Server, visitor: Browser) -> None:
    """A browser that they have signed in with is let in, by another limit of its own."""
    await set_password(server)
    await visitor.submit((await visitor.sign_in()).form("/sign-out"))
    await _guess_from_everywhere(server, OWNER)
    assert (await visitor.sign_in()).path == HOSTS
    async with browsing(server) as other:
        assert (await other.sign_in()).status == 429
        other.http.cookies.set("rensei_known", visitor.http.cookies["rensei_known"] + "A")
        assert (await other.sign_in()).status == 429
    await visitor.submit((await visitor.get(HOSTS)).form("/sign-out"))
    for _ in range(MOST_OF_ACCOUNT):
        assert (await visitor.sign_in(password="wrong")).status == 401
    assert (await visitor.sign_in()).status == 429


@one_database
async def test_a_new_password_lets_its_browser_in(server: Server, visitor: Browser) -> None:
    """Who is kept out of all others gets a link."""
    link = (await server.ok("POST", f"/api/admin/users/{OWNER}/reset"))["link"]
    await _guess_from_everywhere(server, OWNER)
    form = (await visitor.get("/console/password")).forms[0]
    await visitor.submit(form, link=link, password=PASSWORD, again=PASSWORD)
    assert (await visitor.sign_in()).path == HOSTS


@one_database
async def test_a_browser_is_known_to_one_account_for_a_while(server: Server) -> None:
    """And to no other; what is not sealed here, and what is too long, is not looked at."""
    sealer, now = server.platform.sealer, server.platform.now()
    known = issue(sealer, "Ada@acme.test", now)
    browser = account_of(sealer, known, OWNER, now)
    assert browser.startswith("browser_")
    assert account_of(sealer, issue(sealer, OWNER, now), OWNER, now) != browser
    for text in (None, "", "1.x.y", known + "A", "x" * 5000, sealer.seal("x", "row")):
        assert account_of(sealer, text, OWNER, now) == OWNER
    assert account_of(sealer, known, "bob@acme.test", now) == "bob@acme.test"
    assert account_of(sealer, known, OWNER, now + KNOWN_FOR) == OWNER
    assert len(account_of(sealer, known, "x" * 5000, now)) < 300


@one_database
async def test_the_cookie_is_hidden_from_scripts_and_other_sites(
    server: Server, visitor: Browser
) -> None:
    """It is kept by its digest, and sent below /console only."""
    await set_password(server)
    answer = await visitor.http.post(
        "/console/sign-in",
        data={"email": OWNER, "password": PASSWORD},
        headers=SAME_ORIGIN,
    )
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("rensei_console=rsc_live_")
    for word in ("HttpOnly", "SameSite=strict", "Path=/console"):
        assert word in cookie
    async with server.platform.store.read() as db:
        kept = (await db.scalars(select(console_sessions.c.digest))).all()
    assert kept == [digest(visitor.http.cookies["rensei_console"])]


@one_database
async def test_with_tls_the_cookie_is_of_this_host_alone(server: Server) -> None:
    """A __Host- cookie needs Secure and the path /; the other name is ignored then."""
    await set_password(server)
    transport = httpx.ASGITransport(build_app(server.platform))
    async with httpx.AsyncClient(transport=transport, base_url="https://localhost") as http:
        browser = Browser(server, http)
        answer = await http.post(
            "/console/sign-in",
            data={"email": OWNER, "password": PASSWORD},
            headers=SAME_ORIGIN,
        )
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("__Host-rensei-console=rsc_live_")
        for word in ("HttpOnly", "SameSite=strict", "Path=/;", "Secure"):
            assert word in cookie
        known = next(
            one
            for one in answer.headers.get_list("set-cookie")
            if one.startswith("__Secure-rensei-known=")
        )
        for word in ("HttpOnly", "SameSite=strict", "Path=/console/sign-in", "Secure"):
            assert word in known
        assert (await browser.get(HOSTS)).path == HOSTS
        assert (await http.get("/api/admin/hosts")).status_code == 401
        text = http.cookies["__Host-rensei-console"]
        http.cookies.clear()
        http.cookies.set("rensei_console", text)
        assert (await browser.get(HOSTS)).path == "/console/sign-in"


@one_database
async def test_a_cookie_is_worth_nothing_outside_the_console(owner: Browser) -> None:
    """The API takes bearers only, whatever the path of the cookie is."""
    cookie = owner.http.cookies["rensei_console"]
    for headers in ({"cookie": f"rensei_console={cookie}"}, {}):
        answer = await owner.http.get("/api/admin/hosts", headers=headers)
        assert answer.status_code == 401
    answer = await owner.http.get(
        "/api/admin/hosts", headers={"authorization": f"Bearer {cookie}"}
    )
    assert answer.status_code == 401


@one_database
async def test_every_page_asks_who_is_there(visitor: Browser) -> None:
    """And leads back after signing in, but to nowhere else."""
    for path in ("/console", "/console/", HOSTS, f"{HOSTS}/host_x?before=3"):
        page = await visitor.get(path)
        assert page.path == "/console/sign-in", path
    assert page.forms[0].fields["next"] == f"{HOSTS}/host_x?before=3"
    for evil in (
        "https://evil.test/",
        "//evil.test",
        "/console//evil.test",
        "/api/x",
        "\\",
    ):
        page = await visitor.get("/console/sign-in", params={"next": evil})
        assert page.forms[0].fields["next"] == HOSTS


@one_database
async def test_a_form_of_another_site_is_refused(owner: Browser) -> None:
    """By what the browser says of its origin, and by the token of the session."""
    page = await owner.get(HOSTS)
    form = page.form("/sign-out")
    for headers in (
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"origin": "https://evil.test"},
        {"origin": "null"},
        {},
    ):
        answer = await owner.http.post(form.action, data=form.fields, headers=headers)
        assert answer.status_code == 403, headers
    for token in ({}, {"csrf_token": ""}, {"csrf_token": "0" * 64}, {"csrf_token": "ü"}):
        answer = await owner.http.post(form.action, data=token, headers=SAME_ORIGIN)
        assert answer.status_code == 403, token
    assert (await owner.get(HOSTS)).path == HOSTS
    answer = await owner.http.post(
        form.action, data=form.fields, headers={"origin": owner.server.url}
    )
    assert answer.status_code == 303


@one_database
async def test_the_token_of_another_session_is_refused(owner: Browser) -> None:
    """It belongs to one session, not to a user."""
    async with browsing(owner.server) as other:
        token = (await other.sign_in()).form("/sign-out").fields
    answer = await owner.http.post("/console/sign-out", data=token, headers=SAME_ORIGIN)
    assert answer.status_code == 403


@one_database
async def test_signing_in_from_another_site_is_refused(
    server: Server, visitor: Browser
) -> None:
    """Nobody is signed in as somebody else by a page that they look at."""
    await set_password(server)
    answer = await visitor.http.post(
        "/console/sign-in",
        data={"email": OWNER, "password": PASSWORD},
        headers={"sec-fetch-site": "cross-site"},
    )
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers
    answer = await visitor.http.post("/console/password", data={"link": "rsl_live_0"})
    assert answer.status_code == 403


async def _move(server: Server, **columns: timedelta) -> None:
    """Move times of every session into the past."""
    async with server.platform.store.write() as db:
        for name, by in columns.items():
            at = server.platform.now() - by
            await db.execute(update(console_sessions).values({name: at}))


@pytest.mark.parametrize("column", ["seen_at", "expires_at"])
async def test_a_session_expires(owner: Browser, column: str) -> None:
    """An hour after it was used last, and twelve after it began."""
    assert LIFETIME > IDLE
    by = {"seen_at": IDLE, "expires_at": timedelta(0)}
    await _move(owner.server, seen_at=IDLE - timedelta(seconds=30))
    assert (await owner.get(HOSTS)).path == HOSTS
    await _move(owner.server, **{column: by[column]})
    page = await owner.get(HOSTS)
    assert page.path == "/console/sign-in"
    assert "Your session has ended" in page.text


async def _sign_in_again(browser: Browser, page: Page) -> Page:
    assert (page.path, "Your session has ended" in page.text) == ("/console/sign-in", True)
    return await browser.submit(page.forms[0], email=OWNER, password=PASSWORD)


@one_database
async def test_what_was_typed_when_a_session_ended_is_kept(owner: Browser) -> None:
    """The form is shown again after signing in, and is sent with its own token."""
    host_id = (await owner.server.register()).host_id
    typed = {"param_id": "proj/a", "param_repository": "https://git.test/a?b=c&d\u00fc"}
    form = (await owner.get(f"{HOSTS}/{host_id}/ask/project.add")).form("project.add")
    await _move(owner.server, expires_at=timedelta(0))
    again = await _sign_in_again(owner, await owner.submit(form, **typed))
    shown = again.form("/project.add").fields
    assert {name: shown[name] for name in typed} == typed
    preview = await owner.submit(again.form("/project.add"))
    assert "POST /api/daemon/mutations" in preview.text
    await _move(owner.server, expires_at=timedelta(0))
    secret = {"param_id": "a", "param_repository": "https://me:c4n4ry@git.test/a"}
    ended = await owner.submit(form, **secret)
    assert "c4n4ry" not in ended.source
    again = await _sign_in_again(owner, ended)
    assert again.form("/project.add").fields["param_id"] == "a"
    await _move(owner.server, expires_at=timedelta(0))
    long = {"param_id": "a" * MOST_KEPT}
    again = await _sign_in_again(owner, await owner.submit(form, **long))
    assert again.form("/project.add").fields["param_id"] == ""


@one_database
async def test_whose_session_has_ended_comes_back_to_the_page_of_the_form(
    owner: Browser,
) -> None:
    """Which has another address than the form; nothing else that was typed is in it."""
    form = (await owner.get("/console/access")).form("/access/users")
    await _move(owner.server, expires_at=timedelta(0))
    ended = await owner.submit(form, email="bob@acme.test")
    assert ended.forms[0].fields["next"] == "/console/access"
    again = await _sign_in_again(owner, ended)
    assert (again.status, again.path) == (200, "/console/access")


@one_database
async def test_every_form_names_its_page(visitor: Browser) -> None:
    """Also where its address has no page."""
    shown = [route for route in ROUTES if "GET" in (route.methods or ())]
    own = ("/sign-in", "/password")
    forms = [route for route in ROUTES if route not in shown and route.path not in own]
    assert len(forms) > 10
    for form in forms:
        path = "/console" + re.sub(r"{\w+}", "a%3Fb", form.path)
        answer = await visitor.http.post(path, headers=SAME_ORIGIN)
        (page,) = parse_qs(urlsplit(answer.headers["location"]).query)["next"]
        scope = {"type": "http", "method": "GET", "path": page.removeprefix("/console")}
        assert any(route.matches(scope)[0] is Match.FULL for route in shown), form.path


@one_database
async def test_a_session_of_a_clock_that_was_ahead_ends(owner: Browser) -> None:
    """It was used in a time that is to come, by a day, and would not be idle until then."""
    await _move(owner.server, seen_at=-timedelta(days=1))
    assert (await owner.get(HOSTS)).path == "/console/sign-in"


@one_database
async def test_a_use_by_a_clock_a_little_ahead_is_noted_anew(owner: Browser) -> None:
    """The next one is when the clock now says that it is."""
    await _move(owner.server, seen_at=-timedelta(minutes=30))
    assert (await owner.get(HOSTS)).path == HOSTS
    async with owner.server.platform.store.read() as db:
        seen = (await db.scalars(select(console_sessions.c.seen_at))).one()
    assert seen is not None
    assert seen <= owner.server.platform.now()


async def test_use_prolongs_a_session(owner: Browser) -> None:
    """It is written at most once a minute."""
    await _move(owner.server, seen_at=timedelta(minutes=5))
    before = owner.server.platform.now()
    await owner.get(HOSTS)
    async with owner.server.platform.store.read() as db:
        seen = (await db.scalars(select(console_sessions.c.seen_at))).one()
    assert seen is not None
    assert seen >= before
    await owner.get(HOSTS)
    async with owner.server.platform.store.read() as db:
        assert (await db.scalars(select(console_sessions.c.seen_at))).one() == seen


async def test_signing_out_ends_one_session_or_all(owner: Browser) -> None:
    """The cookie is worth nothing afterwards, wherever it was copied to."""
    cookie = owner.http.cookies["rensei_console"]
    async with browsing(owner.server) as other:
        await other.sign_in()
        page = await owner.submit((await owner.get(HOSTS)).form("/sign-out"))
        assert "You are signed out." in page.text
        owner.http.cookies.set("rensei_console", cookie, path="/console")
        assert (await owner.get(HOSTS)).path == "/console/sign-in"
        assert (await other.get(HOSTS)).path == HOSTS
        await owner.sign_in()
        form = (await other.get("/console/account")).form("/sign-out-everywhere")
        await other.submit(form)
        for browser in (owner, other):
            assert (await browser.get(HOSTS)).path == "/console/sign-in"


async def test_a_new_password_and_a_removed_member_end_sessions(owner: Browser) -> None:
    """At once."""
    server = owner.server
    await set_password(server, "bob@acme.test", role="member")
    async with browsing(server) as bob:
        await bob.sign_in("bob@acme.test")
        await set_password(server, "bob@acme.test")
        assert (await bob.get(HOSTS)).path == "/console/sign-in"
        assert (await owner.get(HOSTS)).path == HOSTS
        await bob.sign_in("bob@acme.test")
        await server.ok("DELETE", "/api/admin/users/bob@acme.test")
        assert (await bob.get(HOSTS)).path == "/console/sign-in"
        cookie = bob.http.cookies["rensei_console"]
        page = await bob.sign_in("bob@acme.test")
        assert (page.status, "no organization" in page.text) == (403, True)
        body = {"email": "bob@acme.test", "role": "member"}
        await server.ok("POST", "/api/admin/users", body)
        bob.http.cookies.set("rensei_console", cookie, path="/console")
        assert (await bob.get(HOSTS)).path == "/console/sign-in"


@one_database
async def test_a_key_lets_look(server: Server, visitor: Browser) -> None:
    """It reads every page, changes nothing, and ends with its key."""
    worker = await server.register()
    made = await server.ok("POST", "/api/admin/keys", {"name": "look"})
    page = await visitor.look(made["key"])
    assert (page.path, "read only" in page.text) == (HOSTS, True)
    host = f"{HOSTS}/{worker.host_id}"
    page = await visitor.get(host)
    assert page.status == 200
    assert not [form for form in page.forms if "mutations" in form.action]
    assert (await visitor.get(f"{host}/ask/project.add")).status == 403
    token = page.form("/sign-out").fields
    answer = await visitor.http.post(
        f"{host}/mutations",
        data=token | {"op": "project.enable", "params": '{"id": "p"}'},
        headers=SAME_ORIGIN,
    )
    assert answer.status_code == 403
    assert await worker.history() == {}
    for path in ("/console/access/keys", "/console/sign-out-everywhere"):
        answer = await visitor.http.post(
            path, data=token | {"name": "k"}, headers=SAME_ORIGIN
        )
        assert answer.status_code == 403, path
    cookie = visitor.http.cookies["rensei_console"]
    session = await session_of(server.platform, cookie, "")
    assert session.caller.scopes == {Access.READ_MUTATIONS, Access.ADMIN}
    await server.ok("DELETE", f"/api/admin/keys/{made['id']}")
    assert (await visitor.get(HOSTS)).path == "/console/sign-in"


async def test_a_look_ends_when_its_key_expires(server: Server, visitor: Browser) -> None:
    """Not later."""
    made = await server.ok("POST", "/api/admin/keys", {"name": "look"})
    await visitor.look(made["key"])
    for by, path in ((timedelta(minutes=1), HOSTS), (timedelta(0), "/console/sign-in")):
        async with server.platform.store.write() as db:
            at = server.platform.now() + by
            await db.execute(update(keys).values(expires_at=at))
        assert (await visitor.get(HOSTS)).path == path


@one_database
async def test_keys_that_may_not_read_do_not_let_look(
    server: Server, visitor: Browser
) -> None:
    """Neither a host's key nor nonsense."""
    made = await server.ok("POST", "/api/admin/keys", {"name": "h", "forHost": True})
    assert (await visitor.look(made["key"])).status == 403
    assert (await visitor.look("rsk_live_nonsense")).status == 401
    assert (await visitor.get(HOSTS)).path == "/console/sign-in"


@one_database
async def test_a_password_is_set_by_link(server: Server, visitor: Browser) -> None:
    """The page says what is wrong, and leads to signing in when nothing is."""
    link = (await server.ok("POST", f"/api/admin/users/{OWNER}/reset"))["link"]
    form = (await visitor.get("/console/password")).forms[0]
    page = await visitor.submit(form, link=link, password=PASSWORD, again="other")
    assert (page.status, "differ" in page.text) == (400, True)
    assert page.forms[0].fields["link"] == link
    page = await visitor.submit(form, link=link, password="short", again="short")
    assert (page.status, "12 to 1024" in page.text) == (400, True)
    page = await visitor.submit(form, link=link, password=PASSWORD, again=PASSWORD)
    assert (page.path, "Sign in with it" in page.text) == ("/console/sign-in", True)
    page = await visitor.submit(form, link=link, password=PASSWORD, again=PASSWORD)
    assert (page.status, "was used" in page.text) == (404, True)
    assert (await visitor.sign_in()).path == HOSTS


@one_database
async def test_refusals_are_in_the_audit(owner: Browser) -> None:
    """Counted as those of the API are; what is only not there is none."""
    server = owner.server
    assert (await owner.get("/console/rotations/rot_none")).status == 404
    await owner.http.post("/console/sign-out", headers=SAME_ORIGIN)
    async with browsing(server) as other:
        await other.sign_in(password="wrong")
    await server.platform.refusals.write(server.platform.store, server.platform.now)
    entries = (await server.ok("GET", "/api/admin/audit"))["entries"]
    found = [(one["actor"], one["object"], one["outcome"]) for one in entries]
    assert (OWNER, "sign_out", "refused 403") in found
    assert "refused 404" not in [outcome for _, _, outcome in found]
    assert "session.begin" in [one["action"] for one in entries]


@one_database
async def test_headers_are_strict_on_every_answer(owner: Browser) -> None:
    """Also on an error, and on what is not a page."""
    for path in (HOSTS, "/console/nowhere", "/console/hosts/none", "/console/sign-in"):
        answer = await owner.http.get(path)
        policy = answer.headers["content-security-policy"]
        assert "unsafe" not in policy
        assert "*" not in policy
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
    assert (await owner.http.get("/console/nowhere")).status_code == 404
    assert (await owner.http.put(HOSTS)).status_code == 405


@one_database
async def test_files_are_kept_for_ever_under_their_content(owner: Browser) -> None:
    """A page names no other resource, and a wrong name finds nothing."""
    page = await owner.get(HOSTS)
    found = [
        at.get("href") or at.get("src")
        for tag, at in page.elements
        if tag in ("link", "script", "img")
    ]
    assert len(set(found)) == 3
    for path in found:
        assert path
        answer = await owner.http.get(path)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
    wrong = "/console/static/0123456789abcdef/console.txt"
    assert (await owner.http.get(wrong)).status_code == 404


@one_database
async def test_a_page_of_another_version_has_its_files(owner: Browser) -> None:
    """As behind a balancer, during an upgrade; nobody keeps them under that name."""
    of_another = "/console/static/0123456789abcdef/console.css"
    answer = await owner.http.get(of_another)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
