"""The console in a real Chromium: with and without scripts, small, dark, and by keyboard.

What a page says is tested without a browser, in the other files. Here is what only a
browser shows: that the policy lets the pages work, that they fit, that people reach
everything, and that an open page follows what happens.
"""

import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from chromium import axe_script, chromium
from console_browser import PASSWORD, browsing, set_password
from console_world import fill
from deadlines import HANG_SECONDS
from needs import need
from platform_server import ORG, OWNER, Server, Worker, running, sqlite_url

from rensei_platform.console import events
from rensei_platform.settings import ServerSettings

pytestmark = pytest.mark.slow

HOSTS = "/console/hosts"
DESKTOP = {"width": 1180, "height": 760}
PHONE = {"width": 360, "height": 700}
Look = tuple[dict[str, int], str]
LOOKS: tuple[Look, ...] = ((DESKTOP, "light"), (PHONE, "dark"))
"""How a page is looked at: the size of the window, and the scheme of colours."""
SHARE = 3
"""One in so many of hosts that look the same: axe-core looks at every word of them."""
BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """One event loop for the file, so that one browser serves it."""
    return "asyncio"


@pytest.fixture(scope="module")
async def browser(anyio_backend: str) -> AsyncIterator[Any]:
    """A running Chromium."""
    need("chromium")
    async with chromium() as browser:
        yield browser


@asynccontextmanager
async def _server(place: Path) -> AsyncIterator[Server]:
    settings = ServerSettings(heartbeat_interval_ms=200)
    async with running(sqlite_url(place), place / "key", settings) as server:
        await set_password(server)
        yield server


@pytest.fixture(scope="module")
async def fleet(
    anyio_backend: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[Server, Worker]]:
    """A server with something on every page, and the host with most to see."""
    need("chromium")
    async with _server(tmp_path_factory.mktemp("fleet")) as server:
        yield server, await fill(server, SHARE)


async def _cookies(server: Server) -> list[dict[str, str]]:
    """Return the cookies that signing in brings."""
    async with browsing(server) as signing_in:
        await signing_in.sign_in()
        found = signing_in.http.cookies.items()
        return [{"name": name, "value": text, "url": server.url} for name, text in found]


@asynccontextmanager
async def _tab(
    browser: Any, server: Server, *, is_signed_in: bool = True, **options: Any
) -> AsyncIterator[Any]:
    """Lend a tab; an error of a script, or of the policy, fails the test."""
    context = await browser.new_context(
        base_url=server.url, **{"viewport": DESKTOP, "reduced_motion": "reduce", **options}
    )
    context.set_default_timeout(HANG_SECONDS * 1000)
    if is_signed_in:
        await context.add_cookies(await _cookies(server))
    page, complaints = await context.new_page(), []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console",
        lambda said: complaints.append(said.text) if said.type == "error" else None,
    )
    try:
        yield page
    finally:
        await context.close()
    unexpected = [one for one in complaints if "Failed to load resource" not in one]
    assert not unexpected, unexpected


async def _sign_in(page: Any) -> None:
    await page.goto("/console/sign-in")
    await page.fill("#email", OWNER)
    await page.fill("#password", PASSWORD)
    await page.press("#password", "Enter")
    await page.wait_for_url(f"**{HOSTS}")


async def _paths(server: Server, worker: Worker) -> list[str]:
    """Return the path of every sort of page."""
    host = f"{HOSTS}/{worker.host_id}"
    rotated = (await server.ok("GET", "/api/admin/rotations"))["rotations"][0]["id"]
    key = (await server.ok("GET", "/api/admin/keys"))["keys"][-1]["id"]
    return [
        HOSTS,
        f"{HOSTS}?q=nobody",
        host,
        f"{host}/ask/project.add",
        f"{host}/ask/modelAccess.set",
        "/console/credentials",
        "/console/credentials/github/rotate",
        f"/console/rotations/{rotated}",
        "/console/audit",
        "/console/access",
        f"/console/access/keys/{key}/revoke",
        "/console/access/users/bob@acme.test/remove",
        "/console/account",
        "/console/nowhere",
        "/console/password",
        "/console/sign-in",
    ]


_LOOK_AT = """async () => {
  const root = document.documentElement;
  const background = getComputedStyle(document.body).backgroundColor;
  for (const one of document.querySelectorAll("details")) one.open = true;
  const widths = [root.scrollWidth, root.clientWidth];
  const alike = [];
  for (const rows of document.querySelectorAll("tbody")) {
    const seen = {};
    for (const row of rows.children) {
      const wordless = row.outerHTML.replace(/>[^<]+/g, ">x");
      const look = wordless.replace(/ [a-z-]+="[^"]*[0-9][^"]*"/g, "");
      seen[look] = (seen[look] || 0) + 1;
      if (seen[look] > 2) alike.push(row);
    }
  }
  for (const row of alike) row.hidden = true;
  const { violations } = await axe.run({ resultTypes: ["violations"] });
  for (const row of alike) row.hidden = false;
  return [background, widths, violations.map((one) => [one.id, one.nodes[0].html])];
}"""
"""Measures a page, then has axe-core look at it, but for rows that look like two others.

Rows look alike whose elements are the same but for text and numbers.
"""


async def _look_at(page: Any, where: str, look: Look) -> None:
    """Raise AssertionError if the page is too wide, or if axe-core finds something."""
    background, (wide, visible), found = await page.evaluate(_LOOK_AT)
    assert (background != "rgb(255, 255, 255)") is (look[1] == "dark")
    assert wide <= visible, (where, wide, visible)
    assert not found, (where, found)


async def test_axe_finds_nothing_and_every_page_fits(
    browser: Any, fleet: tuple[Server, Worker]
) -> None:
    """Each page at full width in light, and at 360 pixels in dark."""
    server, worker = fleet
    looks = list(LOOKS)
    async with _tab(browser, server) as page:
        await page.add_init_script(axe_script())
        for path in await _paths(server, worker):
            await page.goto(path)
            for look in looks:
                viewport, scheme = look
                await page.set_viewport_size(viewport)
                await page.emulate_media(color_scheme=scheme)
                await _look_at(page, f"{path} in {look}", look)
            looks.reverse()  # the next page comes in the look that the window has


async def test_the_story_without_scripts(
    browser: Any, fleet: tuple[Server, Worker]
) -> None:
    """Sign in, ask for a change, see it delivered and applied, rotate, sign out."""
    server, _ = fleet
    worker = await server.register("plain.acme.test")
    async with _tab(browser, server, is_signed_in=False, java_script_enabled=False) as page:
        await _sign_in(page)
        await page.fill("#q", "plain")
        await page.click("button:has-text('Find')")
        await page.click("text=plain.acme.test")
        await page.click("a.button:has-text('Add a project')")
        await page.fill("#param_id", "proj_a")
        await page.fill("#param_repository", "https://github.com/acme/a")
        await page.click("button:has-text('Preview')")
        assert '"op": "project.add"' in await page.inner_text("pre.request")
        await page.click("button:has-text('Send it')")
        assert "on its way" in await page.inner_text(".notice")
        assert "pending" in await page.inner_text("#history")
        (mutation_id,) = await worker.pending()
        await page.click("#history button:has-text('Cancel')")
        assert "Too late" in await page.inner_text(".notice")
        await worker.beat(appliedMutations=[mutation_id], enabledProjectIds=["proj_a"])
        await page.reload()
        assert "applied" in await page.inner_text("#history")
        assert "agrees" in await page.inner_text("#projects")
        await page.click("nav >> text=Credentials")
        await page.click("tr:has-text('registry') >> text=Rotate")
        await page.click("button:has-text('Rotate registry')")
        assert "Safe to revoke the old value" in await page.inner_text("#receipt")
        await page.click("button:has-text('Sign out')")
        assert "You are signed out" in await page.inner_text(".notice")


async def test_an_open_page_follows_what_happens(
    browser: Any, fleet: tuple[Server, Worker]
) -> None:
    """Nobody loads it again, and the chance to cancel goes when it has gone."""
    server, _ = fleet
    worker = await server.register("live.acme.test")
    async with _tab(browser, server) as page:
        await page.goto(f"{HOSTS}/{worker.host_id}")
        await page.wait_for_selector("#live:visible")
        id_ = await worker.enqueue("project.enable", id="proj_live")
        await page.wait_for_selector(f"#cancel-{id_}")
        await page.focus(f"#cancel-{id_}")
        await worker.enqueue("project.enable", id="proj_other")
        await page.wait_for_selector("#history >> text=proj_other")
        assert await page.evaluate("document.activeElement.id") == f"cancel-{id_}"
        await worker.beat()
        await page.wait_for_selector("#history >> text=delivered")
        assert await page.query_selector(f"#cancel-{id_}") is None
        await worker.beat(mutationFailures=[{"id": id_, "error": "its guards say no"}])
        await page.wait_for_selector("#history >> text=its guards say no")
        assert len(server.platform.changes) == 1
        await page.context.clear_cookies()
        await page.goto("/console/password#rsl_live_0123")
        assert await page.input_value("#link") == "rsl_live_0123"
        assert "#" not in page.url


async def test_an_open_page_outlives_an_outage(
    browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says that it is not live, and is again, with what happened, by itself."""
    monkeypatch.setattr(events, "_HELLO", b"retry: 10\n\n")
    async with _server(tmp_path) as server, _tab(browser, server) as page:
        worker = await server.register()
        away = server.platform.availability
        await page.clock.install()
        await page.goto(HOSTS)
        await page.wait_for_selector("#live:visible")
        away.is_away = True
        server.platform.changes._wake_all()
        await page.wait_for_selector("#not-live:visible")
        await page.clock.run_for(5000)
        away.is_away = False
        await worker.enqueue()
        await page.clock.run_for(5000)
        await page.wait_for_selector("#hosts td.number b")
        await page.wait_for_selector("#live:visible")
        away.is_away = True
        assert (await page.reload()).status == 503
        await page.wait_for_selector("text=Not available")
        away.is_away = False
        await page.clock.run_for(5000)
        await page.wait_for_selector("#live:visible")


async def test_the_story_by_keyboard(browser: Any, fleet: tuple[Server, Worker]) -> None:
    """Every step is reached with Tab, seen with an outline, and done with Enter."""
    server, _ = fleet
    worker = await server.register("a-keyboard.acme.test")
    async with _tab(browser, server, is_signed_in=False) as page:
        await page.goto("/console/sign-in")
        await _tab_to(page, "Skip to the content")
        await page.keyboard.press("Enter")
        await _tab_to(page, "#email")
        await page.keyboard.type(OWNER)
        await _tab_to(page, "#password")
        await page.keyboard.type(PASSWORD)
        await _enter(page)
        for step in ("a-keyboard.acme.test", "Enable a project"):
            await _tab_to(page, step)
            await _enter(page)
        await _tab_to(page, "#param_id")
        await page.keyboard.type("proj_a")
        for step in ("Preview", "Send it to a-keyboard.acme.test"):
            await _tab_to(page, step)
            await _enter(page)
        await page.wait_for_selector(".notice")
        (mutation,) = (await worker.history()).values()
        assert mutation["params"] == {"id": "proj_a"}
        await _tab_to(page, "Cancel project.enable")
        await _enter(page)
        await page.wait_for_selector("#history >> text=cancelled")


async def _enter(page: Any) -> None:
    async with page.expect_navigation():
        await page.keyboard.press("Enter")


async def _tab_to(page: Any, wanted: str) -> None:
    """Press Tab until an element with this id, or with a text that begins so, has focus."""
    for _ in range(150):
        await page.keyboard.press("Tab")
        found = await page.evaluate(
            """() => { const at = document.activeElement;
            return [at.id && "#" + at.id, at.textContent.replace(/\\s+/g, " "),
                    getComputedStyle(at).outlineStyle] }"""
        )
        if wanted == found[0] or found[1].strip().startswith(wanted):
            assert found[2] != "none", wanted
            return
    raise AssertionError(f"Tab does not lead to {wanted}")


CONFIG = """\
[platform]
url = "{url}"
org_id = "{org}"
api_key_file = "key"

[machine]
name = "daemon.acme.test"

[[credentials.sessions]]
id = "deploy"
project_id = "proj_a"
env_file = "deploy.env"

[paths]
state = "state"
runtime = "run"
"""


@asynccontextmanager
async def _daemon(server: Server, place: Path) -> AsyncIterator[None]:
    """Run a daemon against the server while the block runs."""
    made = await server.ok("POST", "/api/admin/keys", {"name": "h", "forHost": True})
    (place / "key").touch(mode=0o600)
    (place / "key").write_text(made["key"])
    config = place / "config.toml"
    config.write_text(CONFIG.format(url=server.url, org=ORG))
    command = [str(BIN / "rensei-daemon"), "run", "--config", str(config)]
    with (place / "log").open("wb") as log:
        async with await anyio.open_process(command, stdout=log, stderr=log) as daemon:
            try:
                yield
            finally:
                daemon.send_signal(signal.SIGTERM)
                with anyio.fail_after(HANG_SECONDS):
                    await daemon.wait()


async def test_the_story_with_a_daemon(
    browser: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Enqueue, delivered, applied; rotate, told: on pages that nobody loads again."""
    place = tmp_path_factory.mktemp("story")
    (place / "host").mkdir()
    values = {"values": {"GITHUB_TOKEN": "first"}}
    async with _server(place) as server, _tab(browser, server) as page:
        await server.ok("PUT", "/api/admin/credentials/github/values", values)
        await page.goto(HOSTS)
        assert "No host has registered yet" in await page.inner_text("#hosts")
        await page.wait_for_selector("#live:visible")
        async with _daemon(server, place / "host"):
            await page.click("#hosts >> text=daemon.acme.test")
            await page.click("a.button:has-text('Add a project')")
            await page.fill("#param_id", "proj_new")
            await page.fill("#param_repository", "https://github.com/acme/new")
            await page.click("text=Preview")
            await page.click("button:has-text('Send it')")
            await page.wait_for_selector("#history >> text=applied")
            await page.wait_for_selector("#projects tr:has-text('proj_new') >> text=agrees")
            await page.wait_for_selector("#sessions >> text=deploy")
            assert "proj_new" in (place / "host/config.toml").read_text()
            values["values"]["GITHUB_TOKEN"] = "second"
            await server.ok("PUT", "/api/admin/credentials/github/values", values)
            await page.click("nav >> text=Credentials")
            await page.click("tr:has-text('github') >> text=Rotate")
            await page.click("button:has-text('Rotate github')")
            # The env file has readers that cannot tell: it is held, and unknown.
            await page.wait_for_selector("#receipt >> text=/notified 1\\s+held 1/")
            await page.check("text=Accept sessions that cannot report more")
            await page.click("text=Check again")
            await page.wait_for_selector("#receipt .verdict.yes")
            assert "second" in (place / "host/run/deploy.env").read_text()
