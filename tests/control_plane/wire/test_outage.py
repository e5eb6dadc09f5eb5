"""A server whose PostgreSQL is stopped for a while."""

from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from deadlines import HANG_SECONDS
from platform_server import ORG, Server, running
from polling import until
from postgresql import ROLE, Cluster, running_postgresql
from raw_streams import open_streams
from sqlalchemy import URL

from rensei_platform.settings import ServerSettings

pytestmark = pytest.mark.needs("postgresql")

SETTINGS = ServerSettings(away_seconds=0.3, reconcile_seconds=0.1, stop_seconds=0)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A cluster that may be stopped."""
    with running_postgresql(fsync="on", synchronous_commit="on") as cluster:
        yield cluster


@pytest.mark.slow
async def test_an_outage(cluster: Cluster, tmp_path: Path) -> None:
    """Requests are answered 503 at once, streams end in time, and everything resumes."""
    query = {"host": str(cluster.directory)}
    url = URL.create("postgresql+psycopg", username=ROLE, database="postgres", query=query)
    with anyio.fail_after(HANG_SECONDS):
        async with (
            running(url, tmp_path / "key", SETTINGS) as server,
            open_streams() as open_stream,
        ):
            worker = await server.register()
            applied = await worker.enqueue()
            pending = await worker.enqueue()
            assert await worker.pending() == [applied, pending]
            await worker.beat(appliedMutations=[applied])
            stream = await open_stream(server.url, server.key)

            await anyio.to_thread.run_sync(cluster.stop)
            assert await _refusal(server, worker.id, worker.token) in range(5, 21)
            assert (await stream.rest()).endswith(b"0\r\n\r\n")
            assert await _refusal(server, worker.id, worker.token) in range(10, 21)
            ready = await server.http.get("/readyz")
            assert ready.status_code == 503
            assert int(ready.headers["retry-after"]) in range(10, 21)
            assert (await server.http.get("/healthz")).status_code == 200

            await anyio.to_thread.run_sync(cluster.start)
            await until(lambda: not server.platform.availability.is_away)
            assert await worker.pending() == [pending]
            assert (await worker.history())[applied]["status"] == "applied"
            again = await open_stream(server.url, server.key)
            assert await _rotate(server) == 1
            assert (await again.event())["type"] == "UPDATE"


async def _refusal(server: Server, worker_id: str, token: str) -> int:
    """Return when a refused beat is to come back."""
    path = f"/api/workers/{worker_id}/heartbeat"
    answer = await server.call("POST", path, {"activeCount": 0}, key=token)
    assert answer.status_code == 503
    return int(answer.headers["retry-after"])


async def _rotate(server: Server) -> int:
    path = "/api/admin/credentials/github/values"
    await server.ok("PUT", path, {"values": {"TOKEN": "t"}})
    body = {"orgId": ORG, "kind": "github"}
    done = await server.ok("POST", "/api/daemon/credentials/rotate", body)
    return int(done["sessionCount"])
