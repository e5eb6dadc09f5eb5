"""The rotate stream, as its reader sees it."""

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx
import pytest
from deadlines import HANG_SECONDS

from rensei_daemon.local_platform.running import RunningPlatform, running
from rensei_daemon.local_platform.settings import PlatformSettings

Call = Callable[..., Coroutine[Any, Any, httpx.Response]]

STREAM = "/api/daemon/credentials/rotate-stream"
SNAPSHOT = "/api/daemon/credentials/snapshot"


@asynccontextmanager
async def listening(
    client: httpx.AsyncClient, key: str, session_id: str, url: str = STREAM
) -> AsyncIterator[AsyncIterator[str]]:
    """Open a stream, and hand out its lines once the hello has come."""
    params, headers = {"sessionId": session_id}, {"Authorization": f"Bearer {key}"}
    async with client.stream("GET", url, params=params, headers=headers) as answer:
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        lines = answer.aiter_lines()
        with anyio.fail_after(HANG_SECONDS):
            assert [await anext(lines) for _ in range(2)] == [": hello", ""]
        yield lines


async def event(lines: AsyncIterator[str]) -> list[str]:
    """Return the lines of the next event or comment."""
    found = []
    with anyio.fail_after(HANG_SECONDS):
        while line := await anext(lines):
            found.append(line)
    return found


async def test_a_rotation_reaches_every_stream_of_the_org(
    platform: RunningPlatform, client: httpx.AsyncClient, key: str, foreign_key: str
) -> None:
    """Each live stream of the org gets the new values; another org's gets nothing."""
    state = platform.state
    state.set_credential("acme", "github", "A", "ghp_abc")
    state.set_credential("acme", "github", "A", "ghp_new", is_staged=True)
    state.set_credential("other", "github", "A", "ghp_xyz")
    state.set_credential("other", "github", "A", "ghp_own", is_staged=True)
    async with (
        listening(client, key, "build") as build,
        listening(client, key, "deploy") as deploy,
        listening(client, foreign_key, "build") as foreign,
    ):
        rotation = state.rotate("acme", "github")
        assert rotation.session_count == 2
        at = rotation.rotated_at
        update = [
            "event: UPDATE",
            f'data: {{"type":"UPDATE","delta":{{"A":"ghp_new"}},"rotatedAt":"{at}"}}',
        ]
        assert await event(build) == update
        assert await event(deploy) == update
        state.rotate("other", "github")
        assert '"delta":{"A":"ghp_own"}' in (await event(foreign))[1]


async def test_a_stream_is_told_what_its_session_sees(
    platform: RunningPlatform, client: httpx.AsyncClient, call: Call, key: str
) -> None:
    """A value that the session's scope hides is not in its update."""
    state = platform.state
    state.set_credential("acme", "github", "A", "1")
    state.set_credential("acme", "vercel", "A", "2", project_id="proj_a")
    state.set_credential("acme", "github", "B", "3", project_id="proj_a")
    state.set_credential("acme", "github", "C", "4", project_id="proj_b")
    for project_id in ("proj_a", "proj_b"):
        body = {"orgId": "org_acme", "projectId": project_id, "sessionId": project_id}
        await call("POST", SNAPSHOT, key, body)
    async with (
        listening(client, key, "proj_a") as in_a,
        listening(client, key, "proj_b") as in_b,
    ):
        assert state.rotate("acme", "github").session_count == 2
        assert '"delta":{"B":' in (await event(in_a))[1]
        assert '"delta":{"A":' in (await event(in_b))[1]
        assert state.rotate("acme", "vercel").session_count == 1
        assert '"delta":{"A":' in (await event(in_a))[1]


async def test_blocked_names_are_in_no_update(
    platform: RunningPlatform, client: httpx.AsyncClient, key: str
) -> None:
    """The platform's own names are not sent to a session nobody knows, either."""
    platform.state.set_credential("acme", "github", "WORKER_API_KEY", "1")
    async with listening(client, key, "build"):
        assert platform.state.rotate("acme", "github").session_count == 0


async def test_an_idle_stream_is_kept_alive(client: httpx.AsyncClient) -> None:
    """A comment comes every so often, and an event is not lost between two of them."""
    async with running(PlatformSettings(keepalive_seconds=0.01)) as platform:
        platform.state.add_org("acme")
        platform.state.set_credential("acme", "k", "A", "1")
        key, url = platform.state.add_key("acme"), f"{platform.url}{STREAM}"
        async with listening(client, key, "build", url) as lines:
            assert await event(lines) == [": keepalive"]
            platform.state.rotate("acme", "k")
            while (got := await event(lines)) == [": keepalive"]:
                pass
            assert got[0] == "event: UPDATE"


async def test_a_reader_that_hangs_up_is_counted_no_longer(
    platform: RunningPlatform, client: httpx.AsyncClient, key: str
) -> None:
    """The platform notices that the connection has gone."""
    async with listening(client, key, "build"):
        assert [s.session_id for s in platform.state.streams] == ["build"]
    with anyio.fail_after(HANG_SECONDS):
        await platform.until(lambda state: not state.streams)


async def test_dropped_streams_end(
    platform: RunningPlatform, client: httpx.AsyncClient, key: str
) -> None:
    """A dropped stream ends after what it was still owed."""
    platform.state.set_credential("acme", "k", "A", "1")
    async with listening(client, key, "build") as lines:
        platform.state.rotate("acme", "k")
        assert platform.state.drop_streams() == 1
        assert (await event(lines))[0] == "event: UPDATE"
        with pytest.raises(StopAsyncIteration):
            await event(lines)


async def test_a_stream_needs_a_session(call: Call, key: str) -> None:
    """Without a session id there is no stream: 400."""
    answer = await call("GET", STREAM, key)
    assert (answer.status_code, answer.json()) == (
        400,
        {"error": "sessionId is required"},
    )
