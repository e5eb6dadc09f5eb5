"""The event that a mutation waits: who hears it, and when."""

from collections.abc import AsyncIterator

import anyio
import anyio.lowlevel
import pytest
from deadlines import HANG_SECONDS
from platform_server import ORG, Server, Worker
from polling import until
from raw_streams import OpenStreams, RawStream, open_streams
from recorded_streams import RecordedStream

from rensei_platform.bus.hub import Hub
from rensei_platform.services.announcements import HOSTS_AT_ONCE, announce

EVENT = {"type": "MUTATIONS"}


@pytest.fixture
async def open_stream() -> AsyncIterator[OpenStreams]:
    """What opens a stream."""
    async with open_streams() as streams:
        yield streams


async def enqueue(server: Server, worker: Worker) -> None:
    """Ask the worker's host for a change."""
    body = {"workerHostId": worker.host_id, "op": "pool.deleted", "params": {"poolId": "p"}}
    await server.ok("POST", "/api/daemon/mutations", body)


@pytest.mark.parametrize("session", ["{id}", "deploy&workerId={id}", "{id}&workerId={id}"])
async def test_an_enqueued_mutation_is_announced(
    server: Server, open_stream: OpenStreams, session: str
) -> None:
    """It is, on a stream that names the worker, whether or not it is a session's."""
    worker = await server.register()
    stream = await open_stream(server.url, server.key, session.format(id=worker.id))
    await until(lambda: len(server.platform.hub) == 1)
    await enqueue(server, worker)
    with anyio.fail_after(HANG_SECONDS):
        assert await stream.event() == EVENT
    assert len(await worker.pending()) == 1


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_others_hear_nothing(server: Server, open_stream: OpenStreams) -> None:
    """Neither who names no worker, nor another host, nor who names an unknown worker."""
    worker, other = await server.register(), await server.register("build-08")
    for session in ("plain", f"other&workerId={other.id}", "odd&workerId=wkr_unknown"):
        await open_stream(server.url, server.key, session)
    own = await open_stream(server.url, server.key, worker.id)
    await until(lambda: len(server.platform.hub) == 4)
    streams = {stream.session_id: stream for stream in server.platform.hub.all()}
    assert {id_: stream.host_id for id_, stream in streams.items()} == {
        "": worker.host_id,
        "plain": None,
        "other": other.host_id,
        "odd": None,
    }
    await enqueue(server, worker)
    with anyio.fail_after(HANG_SECONDS):
        await own.event()


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_what_waits_already_is_announced_at_the_opening(
    server: Server, open_stream: OpenStreams
) -> None:
    """So a host that was away does not wait for its next heartbeat."""
    worker = await server.register()
    await enqueue(server, worker)
    stream = await open_stream(server.url, server.key, worker.id)
    with anyio.fail_after(HANG_SECONDS):
        assert await stream.event() == EVENT


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_a_worker_is_no_session(server: Server, open_stream: OpenStreams) -> None:
    """A rotation is not sent on its stream, and does not count it."""
    worker = await server.register()
    await open_stream(server.url, server.key, worker.id)
    await until(lambda: len(server.platform.hub) == 1)
    body = {"values": {"TOKEN": "one"}}
    await server.ok("PUT", "/api/admin/credentials/github/values", body)
    told = await server.ok(
        "POST", "/api/daemon/credentials/rotate", {"orgId": ORG, "kind": "github"}
    )
    assert told["sessionCount"] == 0


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize("closed", [0, 1])
async def test_every_stream_that_names_the_host_brings_it(
    server: Server, open_stream: OpenStreams, closed: int
) -> None:
    """So when one of them closes, whichever, another still does."""
    worker, hub = await server.register(), server.platform.hub
    streams: list[RawStream] = []
    for session in ("build", "deploy"):
        named = f"{session}&workerId={worker.id}"
        streams.append(await open_stream(server.url, server.key, named))
        await until(lambda: len(hub) == len(streams))
    await enqueue(server, worker)
    with anyio.fail_after(HANG_SECONDS):
        assert [await stream.event() for stream in streams] == [EVENT, EVENT]
    await streams.pop(closed).connection.aclose()
    await until(lambda: len(hub) == 1)
    await enqueue(server, worker)
    with anyio.fail_after(HANG_SECONDS):
        assert await streams[0].event() == EVENT
    await streams[0].connection.aclose()
    await until(lambda: len(hub) == 0)
    assert hub.of_host(worker.host_id) == ()


async def test_a_fleet_is_told_a_few_at_a_time() -> None:
    """The first hosts hear at once, the others after a pause."""
    hub = Hub()
    streams = [RecordedStream(hub, host_id=f"h{n}") for n in range(HOSTS_AT_ONCE + 1)]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(announce, hub, [f"h{n}" for n in range(len(streams))])
        await until(lambda: streams[0].frames)
        assert [bool(s.frames) for s in streams].count(True) == HOSTS_AT_ONCE
        await until(lambda: streams[-1].frames)
