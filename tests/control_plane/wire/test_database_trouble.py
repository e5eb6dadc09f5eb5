"""Every trouble that a database can have: refused plainly, explained, and got over.

Each ends as it began: with writes that succeed, a server that is ready, and nothing lost.
"""

import os
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    ExitStack,
    asynccontextmanager,
    contextmanager,
    suppress,
)
from pathlib import Path

import anyio
import httpx
import psycopg
import pytest
from database_pool import DatabasePool
from platform_server import Server, running, sqlite_url
from polling import until, until_answer
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from rensei_platform.config import Config
from rensei_platform.doctor.database import check_database
from rensei_platform.doctor.machine import check_machine
from rensei_platform.doctor.result import Result
from rensei_platform.errors import UnavailableError
from rensei_platform.settings import ServerSettings
from rensei_platform.store import engine
from rensei_platform.store.schema import check_schema, migrate, newest_revision
from rensei_platform.store.trouble import (
    BUSY,
    CANCELLED,
    CONNECTIONS,
    FULL,
    LOCKED,
    READ_ONLY,
    REMOVED,
    SCHEMA,
    STOPPING,
    Trouble,
)

SETTINGS = ServerSettings(stop_seconds=0)

Around = Callable[[Server], AbstractAsyncContextManager[None]]


# ---- what goes wrong ---------------------------------------------------------------------


@asynccontextmanager
async def _disk_full(server: Server) -> AsyncIterator[None]:
    filler = _directory(server) / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(b"x" * 4096):
            pass
    yield
    filler.unlink()


@asynccontextmanager
async def _locked(server: Server) -> AsyncIterator[None]:
    other = create_engine(server.database)
    with other.connect() as connection:
        # Not in this thread: the server may be about to end a transaction in it.
        await anyio.to_thread.run_sync(connection.exec_driver_sql, "BEGIN IMMEDIATE")
        yield
        connection.exec_driver_sql("ROLLBACK")
    other.dispose()


@asynccontextmanager
async def _removed(server: Server) -> AsyncIterator[None]:
    with _away(server):
        yield


@asynccontextmanager
async def _replaced(server: Server) -> AsyncIterator[None]:
    with (
        _away(server) as content,
        tempfile.NamedTemporaryFile(dir=_directory(server)) as other,
    ):
        other.write(content)
        os.link(other.name, str(server.database.database))
        yield


def _directory(server: Server) -> Path:
    return Path(str(server.database.database)).parent


@contextmanager
def _away(server: Server) -> Iterator[bytes]:
    """Have the file of the database elsewhere; lend what it holds."""
    file = Path(str(server.database.database))
    away = file.rename(file.with_name("away"))
    yield away.read_bytes()
    away.replace(file)


@asynccontextmanager
async def _read_only_mount(server: Server) -> AsyncIterator[None]:
    directory = _directory(server)
    await anyio.run_process(["mount", "--bind", str(directory), str(directory)])
    await anyio.run_process(["mount", "-o", "remount,bind,ro", str(directory)])
    # What is open stays writable; the next connection is not.
    await server.platform.store._writers.dispose()
    yield
    await server.platform.store._writers.dispose()
    await anyio.run_process(["umount", "-l", str(directory)])


@asynccontextmanager
async def _other_schema(server: Server) -> AsyncIterator[None]:
    known = newest_revision()
    await _in_database(server, "ALTER TABLE hosts RENAME TO hosts_of_another_version")
    await _in_database(server, "UPDATE alembic_version SET version_num = '9999'")
    yield
    await _in_database(server, "ALTER TABLE hosts_of_another_version RENAME TO hosts")
    await _in_database(server, f"UPDATE alembic_version SET version_num = '{known}'")  # noqa: S608 - ours


async def _in_database(server: Server, statement: str) -> None:
    def execute() -> None:
        other = create_engine(server.database)
        with other.begin() as connection:
            connection.execute(text(statement))
        other.dispose()

    await anyio.to_thread.run_sync(execute)


def _cluster_of(server: Server) -> str:
    return str(server.database.query["host"])


@asynccontextmanager
async def _connected(server: Server, name: str = "") -> AsyncIterator[psycopg.Connection]:
    """Lend a connection to the database, by default, or to another one of its cluster."""
    name = name or str(server.database.database)
    where = f"host={_cluster_of(server)} user={server.database.username} dbname={name}"
    with psycopg.connect(where, autocommit=True) as connection:
        yield connection


@asynccontextmanager
async def _read_only(server: Server) -> AsyncIterator[None]:
    async with _connected(server, "postgres") as admin:
        name = server.database.database
        admin.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        _end_connections(admin, server)
        yield
        admin.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
        _end_connections(admin, server)


def _end_connections(admin: psycopg.Connection, server: Server) -> None:
    admin.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
        [server.database.database],
    )


@asynccontextmanager
async def _no_connections(server: Server) -> AsyncIterator[None]:
    with ExitStack() as taken:
        async with _connected(server, "postgres") as admin:
            where = f"host={_cluster_of(server)} user=postgres dbname=postgres"

            def take() -> None:
                with suppress(psycopg.OperationalError):
                    while True:
                        taken.enter_context(psycopg.connect(where))

            async def is_refused() -> bool:
                take()
                _end_connections(admin, server)
                take()
                answer = await server.call("POST", "/api/admin/hosts", {"name": "h"})
                return bool(answer.json() == {"error": CONNECTIONS.message})

            await until_answer(is_refused)
            yield


SQLITE: dict[str, tuple[Around, Trouble]] = {
    "full disk": (_disk_full, FULL),
    "locked": (_locked, LOCKED),
    "removed": (_removed, REMOVED),
    "replaced": (_replaced, REMOVED),
    "read-only": (_read_only_mount, READ_ONLY),
    "schema": (_other_schema, SCHEMA),
}
POSTGRESQL: dict[str, tuple[Around, Trouble]] = {
    "read-only": (_read_only, READ_ONLY),
    "connections": (_no_connections, CONNECTIONS),
    "schema": (_other_schema, SCHEMA),
}


# ---- what is seen of it ------------------------------------------------------------------


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


@pytest.mark.needs("root", "mount")
@pytest.mark.parametrize("name", SQLITE)
async def test_embedded_database(
    small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A write is 503 with when to come back; /readyz, the log and doctor say what to do."""
    monkeypatch.setattr(engine, "_BUSY_SECONDS", 0.05)
    async with running(sqlite_url(small_disk), tmp_path / "k", SETTINGS) as server:
        await _meets(server, *SQLITE[name], tmp_path / "k")


@pytest.mark.needs("root", "mount")
def test_embedded_database_is_opened_on_a_full_disk(small_disk: Path) -> None:
    """Not even a file beside it can be made: the disk is full, and does not fail."""
    url = sqlite_url(small_disk)
    migrate(url)
    with (small_disk / "filler").open("wb", buffering=0) as file, suppress(OSError):
        while file.write(b"x" * 4096):
            pass
    with pytest.raises(UnavailableError) as refused:
        check_schema(url)
    assert refused.value.hint == FULL.hint


@pytest.mark.needs("postgresql")
@pytest.mark.parametrize("name", POSTGRESQL)
async def test_postgresql(pool: DatabasePool, tmp_path: Path, name: str) -> None:
    """The same on PostgreSQL."""
    with pool.lent() as url:
        async with running(url, tmp_path / "k", SETTINGS) as server:
            await _meets(server, *POSTGRESQL[name], tmp_path / "k")


async def _meets(server: Server, around: Around, trouble: Trouble, key: Path) -> None:
    worker = await server.register()
    first = await worker.enqueue()

    async def refusal() -> httpx.Response | None:
        answer = await server.call("POST", "/api/admin/hosts", {"name": "h"})
        assert (answer.status_code, answer.json().keys()) == (503, {"error"})
        assert int(answer.headers["retry-after"]) in range(5, 11)
        return answer if answer.json()["error"] == trouble.message else None

    with capture_logs() as logs:
        async with around(server):
            await until_answer(refusal)
            await until_answer(lambda: _is_explained(server, trouble))
            found = await _doctor(server, key)
            causes = [one["cause"] for one in logs if one["event"] == "database.trouble"]
        # Nothing is written but by the server, which looks whether the trouble is over.
        await until_answer(lambda: _is_ready_again(server))
    assert trouble.cause in causes
    assert len(causes) == len(set(causes))  # each once a minute
    of_database = [one["event"] for one in logs if one["event"].startswith("database.")]
    assert of_database[-1] == "database.recovered"
    await until_answer(lambda: _is_written(server))  # each pool has connections of its own
    assert await worker.pending() == [first]
    hints = {one.hint for one in found if one.state == "error"}
    advice = DOCTOR.get(trouble.cause, trouble.hint)
    assert advice in hints


async def _is_explained(server: Server, trouble: Trouble) -> bool:
    answer = await server.call("GET", "/readyz")
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) in range(5, 11)
    return bool(answer.json() == {"error": f"{trouble.message} {trouble.hint}"})


async def _is_ready_again(server: Server) -> bool:
    await server.platform.availability.check()
    return (await server.call("GET", "/readyz")).status_code == 200


async def _is_written(server: Server) -> bool:
    return (await server.call("POST", "/api/admin/hosts", {"name": "i"})).is_success


async def _doctor(server: Server, key: Path) -> list[Result]:
    found = check_machine(None, Config(), server.database)
    return found + await check_database(server.database, key)


DOCTOR = {"schema": "Install the version that migrated it."}
"""What the doctor advises where it knows more than a server that runs."""


# ---- one statement -----------------------------------------------------------------------


async def test_writers_wait_for_their_turn_within_bounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind a writer that does not end each of the others is 503, and its turn is free."""
    async with running(sqlite_url(tmp_path), tmp_path / "k", SETTINGS) as server:
        async with server.platform.store.write():
            monkeypatch.setattr(engine, "_TURN_SECONDS", 0.02)
            for _ in range(3):
                answer = await server.call("POST", "/api/admin/hosts", {"name": "h"})
                assert answer.json() == {"error": BUSY.message}
                assert answer.status_code == 503
                assert int(answer.headers["retry-after"]) in range(5, 11)
            assert (await server.call("GET", "/readyz")).status_code == 200  # it passes
            monkeypatch.undo()
        for name in ("h", "i", "j"):
            await server.ok("POST", "/api/admin/hosts", {"name": name})


@pytest.mark.needs("postgresql")
@pytest.mark.parametrize(
    ("function", "trouble"),
    [("pg_cancel_backend", CANCELLED), ("pg_terminate_backend", STOPPING)],
)
async def test_ended_statement(
    pool: DatabasePool, tmp_path: Path, function: str, trouble: Trouble
) -> None:
    """A request whose statement is ended is 503; the next one is answered."""
    with pool.lent() as url:
        async with running(url, tmp_path / "k", SETTINGS) as server:
            await _ends(server, function, trouble)


async def _ends(server: Server, function: str, trouble: Trouble) -> None:
    worker = await server.register()
    answers: list[httpx.Response] = []

    async def enqueue() -> None:
        ask = {"workerHostId": worker.host_id, "op": "project.enable"}
        body: dict[str, object] = {**ask, "params": {"id": "p"}}
        body |= {"params": {"id": "p"}}
        answers.append(await server.call("POST", "/api/daemon/mutations", body))

    async with _connected(server) as holder, _connected(server) as admin:
        lock = "SELECT id FROM hosts WHERE id = %s FOR UPDATE"
        holder.execute("BEGIN")
        holder.execute(lock, [worker.host_id])
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(enqueue)
            end = f"SELECT {function}(pid) FROM pg_locks WHERE NOT granted"  # noqa: S608
            await until(lambda: admin.execute(end).fetchall())
        holder.execute("ROLLBACK")
    [answer] = answers
    assert answer.json() == {"error": trouble.message}
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) in range(5, 11)
    kept = await worker.enqueue()
    assert await worker.pending() == [kept]
    await until_answer(lambda: _is_ready_again(server))


async def test_statement_of_ours(tmp_path: Path) -> None:
    """A statement that is wrong is no trouble of the database, and not hidden as one."""
    async with running(sqlite_url(tmp_path), tmp_path / "k", SETTINGS) as server:
        with pytest.raises(OperationalError):
            async with server.platform.store.read() as db:
                await db.execute(text("SELEC 1"))
        assert (await server.call("GET", "/readyz")).status_code == 200
