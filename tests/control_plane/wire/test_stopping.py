"""A server that stops: what it still answers, by whether another could."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx
import pytest
from anyio.abc import TaskStatus
from deadlines import HANG_SECONDS
from platform_server import NO_TLS, ORG, Server, Worker, running
from raw_streams import PATH, open_streams
from sqlalchemy import URL

from rensei_platform.settings import ServerSettings

STREAMS = 300
"""They end in more than half a second."""
SNAPSHOT = "/api/daemon/credentials/snapshot"


@asynccontextmanager
async def stopping(database: URL, directory: Path) -> AsyncIterator[Worker]:
    """Lend a host whose server has begun to end its streams."""
    stop, ended = anyio.Event(), anyio.Event()

    async def serve(*, task_status: TaskStatus[Server]) -> None:
        key_file = directory / "platform.key"
        async with running(database, key_file, ServerSettings()) as server:
            task_status.started(server)
            await stop.wait()

    async with open_streams() as open_stream, anyio.create_task_group() as tasks:
        server = await tasks.start(serve)
        worker = await server.register()
        streams = [await open_stream(server.url, server.key) for _ in range(STREAMS)]

        async def listen(number: int) -> None:
            await streams[number].rest()
            ended.set()

        for number in range(STREAMS):
            tasks.start_soon(listen, number)
        await anyio.wait_all_tasks_blocked()
        stop.set()
        with anyio.fail_after(HANG_SECONDS):
            await ended.wait()
            async with httpx.AsyncClient(
                base_url=server.url, trust_env=False, verify=NO_TLS, timeout=HANG_SECONDS
            ) as http:
                server.http = http
                yield worker


@pytest.mark.slow
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_the_only_server_answers_until_its_streams_have_ended(
    database: URL, tmp_path: Path
) -> None:
    """Heartbeats and snapshots miss it for a moment; streams are told to come later."""
    async with stopping(database, tmp_path) as worker:
        await worker.beat()
        await worker.server.ok("POST", SNAPSHOT, {"orgId": ORG, "sessionId": "s"})
        refused = await worker.server.call("GET", f"{PATH}?sessionId=s")
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) >= 10
        assert len(worker.server.platform.hub) > 0


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
async def test_one_of_many_is_asked_no_more(database: URL, tmp_path: Path) -> None:
    """Whoever connects is refused by the kernel, and asks another at once."""
    async with stopping(database, tmp_path) as worker:
        with pytest.raises(httpx.ConnectError):
            await worker.beat()
        assert len(worker.server.platform.hub) > 0
