"""Two servers on one PostgreSQL: what is done at one is known at the other."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from deadlines import HANG_SECONDS
from platform_server import ORG, Server, Worker, running, serving_replica
from polling import until
from raw_streams import PATH, RawStream, open_streams
from sqlalchemy import URL, text

from rensei_platform.bus.messages import Message, Topic
from rensei_platform.services.fan_out import notify_org
from rensei_platform.services.replication import leave, reconcile
from rensei_platform.settings import ServerSettings
from rensei_platform.store import replicas

pytestmark = [
    pytest.mark.needs("postgresql"),
    pytest.mark.parametrize("database", ["postgresql"], indirect=True),
]

SNAPSHOT = "/api/daemon/credentials/snapshot"
NEVER = ServerSettings(reconcile_seconds=3600, confirm_seconds=HANG_SECONDS, stop_seconds=0)
"""What is heard is heard by the bus: nothing is read again, nobody is given up."""
OFTEN = ServerSettings(reconcile_seconds=0.05, stop_seconds=0)
OpenStream = Callable[..., Awaitable[RawStream]]


@dataclass
class Two:
    """Two servers, and what both need."""

    a: Server
    b: Server
    open_stream: OpenStream

    async def put(self, value: str, **scope: str) -> None:
        """Store a value at the first server."""
        path = "/api/admin/credentials/github/values"
        await self.a.ok("PUT", path, {"values": {"TOKEN": value}, **scope})

    async def snapshot(self, server: Server, session: str = "s", **more: str) -> Any:
        """Take a snapshot; return its values."""
        body = {"orgId": ORG, "sessionId": session, **more}
        return (await server.ok("POST", SNAPSHOT, body))["env"]

    async def rotate(self, server: Server) -> Any:
        """Rotate at a server; return its answer."""
        body = {"orgId": ORG, "kind": "github"}
        return await server.ok("POST", "/api/daemon/credentials/rotate", body)

    async def listen(self, server: Server, session: str = "s", key: str = "") -> RawStream:
        """Open a stream at a server."""
        return await self.open_stream(server.url, key or server.key, session)


@pytest.fixture
async def two(database: URL, tmp_path: Path) -> AsyncIterator[Two]:
    """Two servers that hear of one another by the bus alone."""
    async with serving_two(database, tmp_path) as both:
        yield both


@asynccontextmanager
async def serving_two(
    database: URL,
    directory: Path,
    settings: ServerSettings = NEVER,
    of_b: ServerSettings = NEVER,
) -> AsyncIterator[Two]:
    """Serve a new database twice."""
    key_file = directory / "platform.key"
    with anyio.fail_after(HANG_SECONDS):
        async with (
            running(database, key_file, settings) as a,
            serving_replica(database, key_file, a.key, of_b) as b,
            open_streams() as open_stream,
        ):
            yield Two(a, b, open_stream)


# ---- rotations ---------------------------------------------------------------------------


async def test_a_rotation_reaches_the_streams_of_both(two: Two) -> None:
    """By the scope of a snapshot taken at either; the count is that of both."""
    await two.put("one")
    await two.put("of p", projectId="p")
    await two.snapshot(two.a, "at-b", projectId="p")
    await two.snapshot(two.b, "at-a")
    at_a, at_b = await two.listen(two.a, "at-a"), await two.listen(two.b, "at-b")
    unknown = await two.listen(two.b, "unknown")
    for server in (two.a, two.b):
        done = await two.rotate(server)
        assert done["sessionCount"] == 3
        for stream, delta in (
            (at_a, {"TOKEN": "one"}),
            (at_b, {"TOKEN": "of p"}),
            (unknown, {}),
        ):
            event = await stream.event()
            assert (event["delta"], event["rotatedAt"]) == (delta, done["rotatedAt"])


async def test_an_update_is_never_newer_than_a_snapshot_after_it(two: Two) -> None:
    """Whoever hears of a value at one server gets no older one from the other."""
    await two.put("0")
    await two.snapshot(two.b)
    await two.snapshot(two.a)
    stream = await two.listen(two.b)
    for number in range(1, 6):
        await two.put(str(number))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(two.rotate, two.a)
            assert (await stream.event())["delta"] == {"TOKEN": str(number)}
            assert await two.snapshot(two.b) == {"TOKEN": str(number)}
            assert await two.snapshot(two.a) == {"TOKEN": str(number)}


async def test_times_of_rotations_grow(two: Two) -> None:
    """Strictly, whichever server stamps them, and however many do so at once."""
    await two.put("t")
    times: list[str] = []

    async def rotate(server: Server) -> None:
        for _ in range(5):
            times.append((await two.rotate(server))["rotatedAt"])

    async with anyio.create_task_group() as tasks:
        for server in (two.a, two.b) * 2:
            tasks.start_soon(rotate, server)
    assert len(set(times)) == 20
    async with two.a.platform.store.read() as db:
        stored = await replicas.rotations_since(db, ORG, 0)
    assert [r.rotated_at for r in stored] == sorted({r.rotated_at for r in stored})


async def test_each_stream_is_notified_once_and_in_order(two: Two) -> None:
    """Of rotations that are asked for at both servers at once."""
    await two.put("t")
    await two.snapshot(two.a)
    stream = await two.listen(two.b)

    async def rotate(server: Server) -> None:
        for _ in range(5):
            assert (await two.rotate(server))["sessionCount"] == 1

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(rotate, two.a)
        tasks.start_soon(rotate, two.b)
    versions = [(await stream.event())["version"] for _ in range(10)]
    assert versions == sorted(set(versions))


async def test_a_silent_server_is_not_waited_for_again(
    database: URL, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that is killed costs one wait, and is logged; one that stops costs none."""
    settings = ServerSettings(reconcile_seconds=3600, confirm_seconds=0.2)
    async with serving_two(database, tmp_path, settings) as two:
        await two.put("t")
        platform = two.a.platform
        async with platform.store.write() as db:
            await replicas.note_replica(db, "killed", "1", "0001", 0)
        assert (await two.rotate(two.a))["sessionCount"] == 0
        assert capsys.readouterr().out.count("rotation.replica_silent") == 1
        assert (await two.rotate(two.a))["sessionCount"] == 0
        assert "replica_silent" not in capsys.readouterr().out
        async with platform.store.write() as db:
            await replicas.note_replica(db, "killed", "1", "0001", 0)
        await two.rotate(two.a)
        assert "replica=killed" in capsys.readouterr().out


async def test_a_server_that_stops_says_so(database: URL, tmp_path: Path) -> None:
    """Nobody waits for it from then on."""
    key_file = tmp_path / "platform.key"
    async with running(database, key_file, NEVER) as a:
        async with serving_replica(database, key_file, a.key, NEVER) as b:
            assert await _others(a) == {b.platform.id}
        assert await _others(a) == set()


async def _others(server: Server) -> set[str]:
    async with server.platform.store.read() as db:
        return set(await replicas.others(db, server.platform.id, timedelta(hours=1)))


# ---- what is missed ----------------------------------------------------------------------


async def test_a_missed_rotation_is_found_by_reading(database: URL, tmp_path: Path) -> None:
    """A server that hears nothing notifies its streams a little later, and confirms."""
    async with serving_two(database, tmp_path, of_b=OFTEN) as two:
        await two.put("t")
        await two.snapshot(two.a)
        stream = await two.listen(two.b)
        two.b.platform.bus._by_topic.clear()  # type: ignore[attr-defined]
        assert (await two.rotate(two.a))["sessionCount"] == 1
        assert (await stream.event())["delta"] == {"TOKEN": "t"}


async def test_a_lost_connection_is_opened_again(two: Two) -> None:
    """And what was missed meanwhile is found at once."""
    await two.put("t")
    await two.snapshot(two.a)
    stream = await two.listen(two.b)
    async with two.a.platform.store.read() as db:
        ended = text(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE query LIKE 'LISTEN%' OR query = 'SELECT 1'"
        )
        assert (await db.scalar(ended)) >= 2
    assert (await two.rotate(two.a))["sessionCount"] == 1
    assert (await stream.event())["delta"] == {"TOKEN": "t"}
    assert two.b.platform.bus.is_connected


@pytest.mark.parametrize("is_heard", [True, False])
async def test_a_revoked_key_ends_its_streams_everywhere(
    database: URL, tmp_path: Path, is_heard: bool
) -> None:
    """By the bus at once; by reading if that is missed."""
    async with serving_two(database, tmp_path, of_b=NEVER if is_heard else OFTEN) as two:
        made = await two.a.ok("POST", "/api/admin/keys", {"name": "h", "forHost": True})
        stream = await two.listen(two.b, key=made["key"])
        other = await two.listen(two.b)
        if not is_heard:
            two.b.platform.bus._by_topic.clear()  # type: ignore[attr-defined]
        await two.a.ok("DELETE", f"/api/admin/keys/{made['id']}")
        assert (await stream.rest()).endswith(b"0\r\n\r\n")
        assert len(two.b.platform.hub) == 1
        await other.connection.aclose()
        refused = await two.b.call("GET", PATH, params={"sessionId": "s"}, key=made["key"])
        assert refused.status_code == 401


async def test_a_pending_mutation_is_announced(two: Two) -> None:
    """To every server once, by the id of its host."""
    heard: dict[str, list[Message]] = {"a": [], "b": []}
    two.a.platform.bus.subscribe(Topic.HOST_PENDING, heard["a"].append)
    two.b.platform.bus.subscribe(Topic.HOST_PENDING, heard["b"].append)
    worker = await two.a.register()
    await worker.enqueue()
    last = Message(Topic.HOST_PENDING, ("the last",))
    await two.b.platform.bus.publish(last)
    await until(lambda: last in heard["a"])
    assert heard["a"] == [Message(Topic.HOST_PENDING, (worker.host_id,)), last]
    await until(lambda: len(heard["b"]) == 2)


async def test_only_who_is_behind_is_notified_again(two: Two) -> None:
    """A reading that finds an old rotation leaves those alone who have heard of it."""
    await two.put("t")
    await two.snapshot(two.a, "behind")
    await two.snapshot(two.a, "up to date")
    streams = {name: await two.listen(two.a, name) for name in ("behind", "up%20to%20date")}
    first = (await two.rotate(two.a))["rotatedAt"]
    for stream in two.a.platform.hub.all():
        if stream.session_id == "behind":
            stream.version = 0
    await notify_org(two.a.platform, ORG)
    second = (await two.rotate(two.a))["rotatedAt"]
    heard = [(await streams["behind"].event())["rotatedAt"] for _ in range(3)]
    assert heard == [first, first, second]
    other = streams["up%20to%20date"]
    assert [(await other.event())["rotatedAt"] for _ in range(2)] == [first, second]


async def test_no_value_is_sent(two: Two) -> None:
    """A listener of the channel sees ids alone."""
    heard: list[str] = []
    bus: Any = two.b.platform.bus
    passed_on = bus._hear

    def hear(payload: str) -> None:
        heard.append(payload)
        passed_on(payload)

    bus._hear = hear
    await two.put("canary-55aa")
    await two.snapshot(two.a)
    await two.listen(two.b)
    done = await two.rotate(two.a)
    assert any(done["rotationId"] in one for one in heard)
    assert "canary" not in str(heard)


# ---- mutations ---------------------------------------------------------------------------


async def test_a_mutation_is_delivered_or_cancelled(two: Two) -> None:
    """Never both, whichever server is asked for which."""
    at_a = await two.a.register()
    at_b = Worker(two.b, at_a.id, at_a.token, at_a.host_id)
    for _ in range(10):
        mutation = await at_a.enqueue()
        answers: list[Any] = []

        async def deliver() -> None:
            answers.append(await at_b.pending())  # noqa: B023

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(deliver)
            path = f"/api/daemon/mutations/{mutation}"
            cancelled = (await two.a.call("DELETE", path)).status_code == 200
        assert (mutation in answers[0]) is not cancelled
        if not cancelled:
            await at_b.beat(appliedMutations=[mutation])


async def test_the_first_outcome_counts(two: Two) -> None:
    """Also when two servers are told at once."""
    at_a = await two.a.register()
    at_b = Worker(two.b, at_a.id, at_a.token, at_a.host_id)
    mutation = await at_a.enqueue()
    assert await at_b.pending() == [mutation]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: at_a.beat(appliedMutations=[mutation]))
        tasks.start_soon(
            lambda: at_b.beat(mutationFailures=[{"id": mutation, "error": "no"}])
        )
    first = (await at_a.history())[mutation]
    await at_a.beat(appliedMutations=[mutation])
    await at_b.beat(mutationFailures=[{"id": mutation, "error": "no"}])
    assert (await at_b.history())[mutation] == first
    assert first["status"] in ("applied", "failed")


# ---- limits ------------------------------------------------------------------------------


async def test_servers_know_how_many_share_a_limit(two: Two) -> None:
    """Of wrong passwords and keys; one that has left allows none of it."""
    for one in (two.a, two.b):
        await reconcile(one.platform)
        assert one.platform.account_failures.servers == 2
        assert one.platform.failures.servers == 2
    await leave(two.b.platform)
    await reconcile(two.a.platform)
    assert two.a.platform.account_failures.servers == 1
