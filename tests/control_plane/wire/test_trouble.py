"""Trouble around a server: what is refused is refused plainly, and nothing is lost."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio
import pytest
from deadlines import HANG_SECONDS
from platform_server import Server, running, sqlite_url
from polling import until
from sqlalchemy import create_engine, func, select, text
from sqlalchemy.engine import Connection

from rensei_platform.services import workers as registering
from rensei_platform.store.tables import workers

LARGE = "x" * 200_000


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A directory with room for two megabytes."""
    directory = tmp_path / "small"
    directory.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", directory], check=True)
    try:
        yield directory
    finally:
        subprocess.run(["umount", directory], check=True)


def _refusal(answer: Any) -> tuple[int, str]:
    assert answer.json().keys() == {"error"}
    return answer.status_code, answer.json()["error"]


@pytest.mark.needs("root", "mount")
async def test_full_disk(small_disk: Path, tmp_path: Path) -> None:
    """Writes are answered 503 while the disk is full, reads go on, and nothing is lost."""
    async with running(sqlite_url(small_disk), tmp_path / "k") as server:
        worker = await server.register()
        kept = []
        body = {"workerHostId": worker.host_id, "op": "project.add"}
        params = {"id": "p", "repository": "https://a.test/r", "note": LARGE}
        for _ in range(20):
            answer = await server.call(
                "POST", "/api/daemon/mutations", {**body, "params": params}
            )
            if answer.status_code != 200:
                break
            kept.append(answer.json()["mutation"]["id"])
        assert _refusal(answer)[0] == 503
        assert "retry-after" in answer.headers
        assert sorted(await worker.history()) == sorted(kept)
        await anyio.run_process(["mount", "-o", "remount,size=32m", str(small_disk)])
        kept.append(await worker.enqueue())
        assert await worker.pending() == kept


async def test_holder_of_a_row_dies(server: Server) -> None:
    """A request that waits for a row goes on when the replica that held it is gone."""
    if server.platform.store.is_sqlite:
        return
    worker = await server.register()
    other = create_engine(server.database)
    held: Connection = other.connect()
    lock = text("SELECT id FROM hosts WHERE id = :id FOR UPDATE")
    held.execute(lock, {"id": worker.host_id})
    (process,) = held.execute(text("SELECT pg_backend_pid()")).one()
    done = anyio.Event()

    async def enqueue() -> None:
        await worker.enqueue()
        done.set()

    watcher = create_engine(server.database, isolation_level="AUTOCOMMIT")
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    with anyio.fail_after(HANG_SECONDS), watcher.connect() as watch:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(enqueue)
            await until(lambda: watch.execute(waiting).scalar_one())
            assert not done.is_set()
            watch.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": process})
    held.invalidate()
    assert len(await worker.pending()) == 1
    other.dispose()
    watcher.dispose()


@pytest.mark.slow
async def test_flood_of_registrations(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of a hundred hosts succeeds, and a host is one host with a few workers.

    What a busy machine refuses for now was not begun: tried again, it counts once.
    """
    monkeypatch.setattr(registering, "MOST_WORKERS", 16)

    async def register(name: str) -> None:
        body = {"hostname": name, "machineId": name, "capacity": 1}
        with anyio.fail_after(HANG_SECONDS):
            while (answer := await server.call("POST", path, body)).status_code == 503:
                assert "try again later" in answer.text
        assert answer.is_success, answer.text

    path = "/api/workers/register"

    async with anyio.create_task_group() as tasks:
        for number in range(50):
            tasks.start_soon(register, "same")
            tasks.start_soon(register, f"build-{number:02}")
    hosts = (await server.ok("GET", "/api/admin/hosts"))["hosts"]
    found = [(one["name"], one["registrations"]) for one in hosts]
    assert found == [*((f"build-{n:02}", 1) for n in range(50)), ("same", 50)]
    async with server.platform.store.read() as db:
        count = await db.scalar(select(func.count()).select_from(workers))
    assert count == 50 + 16


async def test_two_registrations_of_a_new_host(server: Server) -> None:
    """Requests that add the same host at the same moment both succeed, with one host."""
    body = {"hostname": "build-07", "machineId": "m", "capacity": 1}
    async with anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(server.ok, "POST", "/api/workers/register", body)
    hosts = (await server.ok("GET", "/api/admin/hosts"))["hosts"]
    assert [host["registrations"] for host in hosts] == [4]


STRANGE = ("a/b", "..", "\0", "\u202e", "a" * 3000, "%2e%2e", "a b")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/admin/hosts/{}"),
        ("DELETE", "/api/admin/keys/{}"),
        ("DELETE", "/api/daemon/mutations/{}"),
        ("DELETE", "/api/admin/credentials/{}/binding"),
        ("DELETE", "/api/admin/users/{}"),
        ("POST", "/api/workers/{}/heartbeat"),
    ],
)
async def test_strange_ids(tmp_path: Path, method: str, path: str) -> None:
    """An id that nobody has is refused in the wire's form, whatever is in it."""
    body = {"activeCount": 0} if method == "POST" else None
    async with running(sqlite_url(tmp_path), tmp_path / "k") as server:
        for name in STRANGE:
            answer = await server.call(method, path.format(quote(name, safe="")), body)
            status, message = _refusal(answer)
            assert status in (400, 403, 404, 405), name
            assert message, name
            assert answer.content.isascii(), name
