"""Notifying the streams of one organization, by two tasks at once."""

from pathlib import Path
from typing import Any

import anyio
from deadlines import HANG_SECONDS
from platform_server import ORG, Server, running, sqlite_url
from polling import until
from recorded_streams import RecordedStream
from structlog.testing import capture_logs

from rensei_platform.bus.messages import Topic
from rensei_platform.services.fan_out import notify_org
from rensei_platform.services.values import OrgValues
from rensei_platform.settings import ServerSettings


async def _rotate(server: Server) -> Any:
    body = {"orgId": ORG, "kind": "github"}
    return (await server.ok("POST", "/api/daemon/credentials/rotate", body))["rotationId"]


async def test_who_asked_counts_what_another_task_notified(tmp_path: Path) -> None:
    """A task that finds nothing left to do waits for the one that is about to count it."""
    async with running(sqlite_url(tmp_path), tmp_path / "k") as server:
        body = {"values": {"TOKEN": "t"}}
        await server.ok("PUT", "/api/admin/credentials/github/values", body)
        first, _ = await _rotate(server), await _rotate(server)
        platform = server.platform
        streams = [RecordedStream(platform.hub, ORG, session_id=f"{n}") for n in range(3)]
        current, asked, may_go_on = platform.values.current, anyio.Event(), anyio.Event()
        calls = 0

        async def slow_for_the_second_rotation(org_id: str) -> OrgValues:
            nonlocal calls
            calls += 1
            if calls == 2:
                asked.set()
                await may_go_on.wait()
            return await current(org_id)

        object.__setattr__(platform.values, "current", slow_for_the_second_rotation)
        with anyio.fail_after(HANG_SECONDS), platform.fan_out.counting(first) as here:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(notify_org, platform, ORG)
                await asked.wait()
                assert [len(one.frames) for one in streams] == [1, 1, 1]
                tasks.start_soon(_counted_at_the_end, platform, here, may_go_on)
                await until(lambda: platform.fan_out.lock(ORG).statistics().tasks_waiting)
                may_go_on.set()
            assert here.count == len(streams)
        assert [len(one.frames) for one in streams] == [2, 2, 2]
        for stream in streams:
            stream.end()


async def test_a_rotation_that_is_stored_is_no_error(tmp_path: Path) -> None:
    """Asked for again it would be another; who was not notified is, once it can be read."""
    settings = ServerSettings(reconcile_seconds=0.05, stop_seconds=0)
    async with running(sqlite_url(tmp_path), tmp_path / "k", settings) as server:
        values = {"values": {"TOKEN": "t"}}
        await server.ok("PUT", "/api/admin/credentials/github/values", values)
        stream = RecordedStream(server.platform.hub, ORG)
        file = tmp_path / "platform.db"
        assert file == Path(str(server.database.database))
        away = tmp_path / "away"

        def take_away(_: object) -> None:
            file.rename(away)

        server.platform.bus.subscribe(Topic.ROTATION, take_away)
        with capture_logs() as logs:
            body = {"orgId": ORG, "kind": "github"}
            done = await server.ok("POST", "/api/daemon/credentials/rotate", body)
        assert done["sessionCount"] == 0
        assert "rotation.not_counted" in {entry["event"] for entry in logs}
        assert not stream.frames
        away.rename(file)
        await until(lambda: bool(stream.frames))
        listed = await server.ok("GET", "/api/admin/rotations")
        assert [one["id"] for one in listed["rotations"]] == [done["rotationId"]]
        stream.end()


async def _counted_at_the_end(platform: Any, here: Any, may_go_on: anyio.Event) -> None:
    """Do what a rotation does: notify, and then answer with the count."""
    await notify_org(platform, ORG)
    assert may_go_on.is_set(), f"answered with {here.count} before the others were counted"
