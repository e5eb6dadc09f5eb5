"""The console while its database is away, for somebody who is signed in."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import anyio
import pytest
from console_browser import SAME_ORIGIN, Browser, Page, browsing, set_password
from deadlines import HANG_SECONDS
from platform_server import Server, running, sqlite_url
from polling import until_answer
from postgresql import ROLE, Cluster, running_postgresql
from sqlalchemy import URL

from rensei_platform.settings import ServerSettings
from rensei_platform.store import engine

pytestmark = pytest.mark.slow

HOSTS, EVENTS = "/console/hosts", "/console/events"
SETTINGS = ServerSettings(away_seconds=0.3, reconcile_seconds=0.1, stop_seconds=0)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A cluster that may be stopped, and then has lost nothing."""
    with running_postgresql(fsync="on", synchronous_commit="on") as cluster:
        yield cluster


async def _enqueue(browser: Browser, host_id: str, token: str) -> int:
    """Send the form of a change, and return the status."""
    fields = {"op": "project.enable", "params": '{"id": "p"}', "csrf_token": token}
    path = f"{HOSTS}/{host_id}/mutations"
    answer = await browser.http.post(path, data=fields, headers=SAME_ORIGIN)
    if answer.status_code == 503:
        assert "Whether your change was made is not known." in answer.text
        assert answer.headers["retry-after"]
    return answer.status_code


async def _is_enqueued(browser: Browser, host_id: str, token: str) -> bool:
    return await _enqueue(browser, host_id, token) == 303


async def _page_that_is_there(browser: Browser) -> Page | None:
    page = await browser.get(HOSTS)
    return page if page.status == 200 else None


def _token(page_form: dict[str, str]) -> str:
    return page_form["csrf_token"]


async def _is_live(browser: Browser) -> bool:
    async with browser.http.stream("GET", EVENTS) as stream:
        return stream.status_code == 200


async def _goes_on(browser: Browser, host_id: str, token: str) -> None:
    """Wait until everything works; a connection from before may be refused once more."""
    page = await until_answer(partial(_page_that_is_there, browser))
    assert page is not None
    assert "build-07" in page.text
    assert await until_answer(partial(_is_enqueued, browser, host_id, token))
    assert await until_answer(partial(_is_live, browser))


@pytest.mark.needs("postgresql")
async def test_postgresql_is_stopped_while_somebody_looks(
    cluster: Cluster, tmp_path: Path
) -> None:
    """Pages say what happened, streams end, and the same session goes on afterwards."""
    query = {"host": str(cluster.directory)}
    url = URL.create("postgresql+psycopg", username=ROLE, database="postgres", query=query)
    with anyio.fail_after(HANG_SECONDS):
        async with running(url, tmp_path / "key", SETTINGS) as server:
            await set_password(server)
            worker = await server.register()
            async with browsing(server) as browser:
                await browser.sign_in()
                page = await browser.get(HOSTS)
                token = _token(page.form("/sign-out").fields)
                async with browser.http.stream("GET", EVENTS) as stream:
                    lines = stream.aiter_lines()
                    assert await anext(lines) == "retry: 5000"
                    await anyio.to_thread.run_sync(cluster.stop)
                    server.platform.changes._wake_all()
                    assert "event: end" not in [line async for line in lines]
                page = await browser.get(f"{HOSTS}?q=build")
                assert (page.status, page.path) == (503, HOSTS)
                assert "The database cannot be reached" in page.text
                assert "you are still signed in" in page.text
                assert f"{HOSTS}?q=build" in page.links()
                assert (await browser.http.get(EVENTS)).status_code == 503
                assert await _enqueue(browser, worker.host_id, token) == 503
                await anyio.to_thread.run_sync(cluster.start)
                await _goes_on(browser, worker.host_id, token)


async def test_sqlite_is_locked_while_somebody_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What only reads is shown all the same; what writes is refused with a page."""
    monkeypatch.setattr(engine, "_BUSY_SECONDS", 0.05)
    url = sqlite_url(tmp_path)
    async with running(url, tmp_path / "key") as server, browsing(server) as browser:
        await set_password(server)
        worker = await server.register()
        token = _token((await browser.sign_in()).form("/sign-out").fields)
        await _age_session(server)
        with closing(sqlite3.connect(str(url.database), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert "build-07" in (await browser.get(HOSTS)).text
            assert await _enqueue(browser, worker.host_id, token) == 503
            other.execute("ROLLBACK")
        assert await _enqueue(browser, worker.host_id, token) == 303


async def _age_session(server: Server) -> None:
    """Let the next use of every session be one that would be noted."""
    async with server.platform.store.write() as db:
        await db.exec_driver_sql("UPDATE console_sessions SET seen_at = seen_at - 120000")
