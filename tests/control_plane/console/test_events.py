"""The stream of an open page: told at once, seldom, and no longer than its session."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import anyio
import anyio.abc
import httpx
import pytest
from console_browser import Browser, browsing, set_password
from databases import one_database
from deadlines import HANG_SECONDS
from platform_server import ORG, running, serving_replica, sqlite_url
from polling import until
from sqlalchemy import URL

from rensei_platform.bus.local import LocalBus
from rensei_platform.bus.messages import Message, Topic
from rensei_platform.console import events
from rensei_platform.ids import new_id
from rensei_platform.services import changes
from rensei_platform.services.changes import Changes

pytestmark = pytest.mark.slow

EVENTS = "/console/events"


@asynccontextmanager
async def _stream(browser: Browser) -> AsyncIterator[AsyncIterator[str]]:
    """Lend the lines of a stream that is open and has been greeted."""
    async with browser.http.stream("GET", EVENTS, timeout=HANG_SECONDS) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        lines = answer.aiter_lines()
        assert await _next(lines) == "retry: 5000"
        yield lines


async def _next(lines: AsyncIterator[str]) -> str:
    """Return the next line that is not empty."""
    with anyio.fail_after(HANG_SECONDS):
        async for line in lines:
            if line:
                return line
    return "the end"


async def test_what_changes_is_told_and_holds_nothing(owner: Browser) -> None:
    """A change, a delivery and an outcome; each is a word, and no content."""
    worker = await owner.server.register()
    async with _stream(owner) as lines:
        id_ = await worker.enqueue()
        for step in ({}, {"appliedMutations": [id_]}, {"enabledProjectIds": ["p"]}):
            assert [await _next(lines), await _next(lines)] == ["event: change", "data: 1"]
            await worker.beat(**step)
        assert await _next(lines) == "event: change"


@one_database
async def test_many_changes_are_told_as_one(
    owner: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the page waits for its turn."""
    monkeypatch.setattr(events, "COALESCE_SECONDS", 0.3)
    monkeypatch.setattr(events, "KEEPALIVE_SECONDS", 2.0)
    worker, bus = await owner.server.register(), owner.server.platform.bus
    told: list[str] = []
    async with _stream(owner) as lines:
        begun = anyio.current_time()
        for _ in range(20):
            await worker.enqueue()
            await bus.publish(Message(Topic.KEY_REVOKED, ("key_of_nobody",)))
        while told[-1:] != [": keepalive"]:
            told.append(await _next(lines))
    seconds = anyio.current_time() - begun
    assert 1 <= told.count("event: change") <= 1 + seconds / 0.3


@one_database
async def test_a_beat_that_says_nothing_new_tells_nobody(
    owner: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does a change of another organization."""
    monkeypatch.setattr(events, "KEEPALIVE_SECONDS", 0.2)
    monkeypatch.setattr(changes, "TELL_SECONDS", 0.01)
    worker, platform = await owner.server.register(), owner.server.platform
    await worker.beat(maxSessions=3)
    body = {"id": "org_x", "name": "X", "owner": "eve@x.test"}
    key = (await owner.server.ok("POST", "/api/admin/orgs", body))["key"]
    told: list[str] = []
    platform.bus.subscribe(Topic.ORG_CHANGED, lambda message: told.append(message.ids[0]))
    await _told_so_far(platform.changes, told)
    async with _stream(owner) as lines:
        await _told_so_far(platform.changes, told)  # signing in may have been one
        told.clear()
        await worker.beat(maxSessions=3)
        host = {"hostname": "other", "capacity": 1}
        await owner.server.ok("POST", "/api/workers/register", host, key=key)
        await _told_so_far(platform.changes, told)
        assert "org_x" in told
        assert ORG not in told
        while (line := await _next(lines)) != ": keepalive":
            assert line in ("event: change", "data: 1")  # from before
        assert await _next(lines) == ": keepalive"


async def _told_so_far(noted: Changes, told: list[str]) -> None:
    """Wait until every change that was noted by now has been told."""
    for mark in ("first", "second"):  # what is told together has no order
        noted.note(mark)
        await until(partial(told.count, mark))
    told[:] = [org_id for org_id in told if org_id not in ("first", "second")]


@one_database
async def test_a_stream_ends_with_its_session(owner: Browser) -> None:
    """At the next line; also that of a page which only looks, with its key."""
    server = owner.server
    made = await server.ok("POST", "/api/admin/keys", {"name": "look"})
    async with browsing(server) as other, browsing(server) as looking:
        await other.sign_in()
        await looking.look(made["key"])
        async with _stream(other) as lines, _stream(looking) as seen:
            form = (await owner.get("/console/account")).form("/sign-out-everywhere")
            await owner.submit(form)
            assert await _next(lines) == "event: end"
            assert await _next(seen) == "event: end"
        await looking.look(made["key"])
        async with _stream(looking) as seen:
            await server.ok("DELETE", f"/api/admin/keys/{made['id']}")
            assert await _next(seen) == "event: end"
        assert (await other.http.get(EVENTS)).status_code == 303


@one_database
async def test_a_session_has_few_streams(owner: Browser) -> None:
    """The next one ends the oldest, and none is left behind."""
    changes = owner.server.platform.changes
    async with _stream(owner) as oldest, anyio.create_task_group() as tasks:
        done = anyio.Event()

        async def watch(*, task_status: anyio.abc.TaskStatus[None]) -> None:
            async with _stream(owner):
                task_status.started()
                await done.wait()

        for _ in range(events.MOST_OF_SESSION):
            await tasks.start(watch)
        assert await _next(oldest) == "event: end"
        await until(lambda: len(changes) == events.MOST_OF_SESSION)
        done.set()
    await until(lambda: not len(changes))


@one_database
async def test_a_server_has_a_limit_of_streams(
    owner: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond it a page is as old as when it was loaded."""
    monkeypatch.setattr(events, "MOST", 1)
    async with _stream(owner):
        answer = await owner.http.get(EVENTS)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")


@one_database
async def test_a_stream_ends_without_a_word_while_the_database_is_away(
    owner: Browser,
) -> None:
    """So that the browser asks for it again."""
    platform = owner.server.platform
    async with _stream(owner) as lines:
        platform.availability.is_away = True
        platform.changes._wake_all()
        assert await _next(lines) == "the end"


async def test_a_server_that_stops_ends_its_streams(tmp_path: Path) -> None:
    """It does not wait for pages that are open."""
    async with httpx.AsyncClient(trust_env=False) as http:
        async with running(sqlite_url(tmp_path), tmp_path / "key") as server:
            await set_password(server)
            http.base_url = httpx.URL(server.url)
            browser = Browser(server, http)
            await browser.sign_in()
            stream = _stream(browser)
            lines = await stream.__aenter__()
            begun = anyio.current_time()
        assert anyio.current_time() - begun < 4  # and 5 s is when it gives up
        assert await _next(lines) == "event: end"
        await stream.__aexit__(None, None, None)


async def test_a_revoked_key_wakes_every_page() -> None:
    """Which organization it is of stands in no message."""
    bus = LocalBus()
    changes = Changes(bus)
    with changes.watching("org_a") as first, changes.watching("org_b") as second:
        await bus.publish(Message(Topic.KEY_REVOKED, ("key_1",)))
        with anyio.fail_after(HANG_SECONDS):
            await first.wait()
            await second.wait()


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
async def test_a_page_hears_of_what_another_server_does(
    database: URL, tmp_path: Path
) -> None:
    """Within a second, by the bus of the database."""
    key_file = tmp_path / "key"
    async with running(database, key_file) as first:
        await set_password(first)
        async with (
            serving_replica(database, key_file, first.key) as second,
            browsing(first) as browser,
        ):
            await browser.sign_in()
            async with _stream(browser) as lines:
                await second.register(new_id("host"))
                assert await _next(lines) == "event: change"
