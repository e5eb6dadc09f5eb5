"""A platform in the caller's loop: its start, its end, and what it lets a test see."""

import anyio
import httpx

from rensei_daemon.local_platform.running import running
from rensei_daemon.local_platform.settings import PlatformSettings


async def test_a_worker_s_whole_day() -> None:
    """A host registers, beats, takes a mutation, acks it, and sees a rotation."""
    async with (
        running(PlatformSettings(heartbeat_interval_ms=200)) as platform,
        httpx.AsyncClient(base_url=platform.url) as client,
    ):
        state = platform.state
        org = state.add_org("acme")
        key = {"Authorization": f"Bearer {state.add_key(org.id)}"}
        state.set_credential("acme", "github", "GITHUB_TOKEN", "ghp_abc123")
        answer = await client.post(
            "/api/workers/register", headers=key, json={"hostname": "h1", "capacity": 1}
        )
        worker = answer.json()
        assert answer.status_code == 200
        token = {"Authorization": f"Bearer {worker['runtimeToken']}"}
        beat = f"/api/workers/{worker['workerId']}/heartbeat"
        mutation = state.enqueue("h1", "project.remove", {"id": "proj_a"})
        answer = await client.post(beat, headers=token, json={"activeCount": 0})
        assert [m["id"] for m in answer.json()["pendingMutations"]] == [mutation.id]
        await client.post(
            beat,
            headers=token,
            json={"activeCount": 0, "appliedMutations": [mutation.id]},
        )
        assert [m.status for m in state.mutations] == ["applied"]
        body = {"orgId": org.id, "sessionId": "s"}
        answer = await client.post(
            "/api/daemon/credentials/snapshot", headers=key, json=body
        )
        assert answer.json()["env"] == {"GITHUB_TOKEN": "ghp_abc123"}
        async with client.stream(
            "GET",
            "/api/daemon/credentials/rotate-stream",
            headers=key,
            params={"sessionId": "s"},
        ) as stream:
            lines = stream.aiter_lines()
            assert await anext(lines) == ": hello"
            with anyio.fail_after(2):
                await platform.until(lambda state: len(state.streams) == 1)
            assert state.rotate("acme", "github").session_count == 1
            assert await anext(lines) == ""
            assert await anext(lines) == "event: UPDATE"
