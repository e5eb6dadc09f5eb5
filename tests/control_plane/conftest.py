"""Fixtures of the control plane's tests."""

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from database_pool import DatabasePool, with_template
from kept_connections import kept
from platform_server import Server, running, sqlite_url
from postgresql import Cluster, running_postgresql
from sqlalchemy import URL

from rensei_platform.services import passwords


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """Run every async test on the event loop that the control plane runs on."""
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(scope="module", autouse=True)
def quick_hashes() -> Iterator[None]:
    """Hash passwords with less work than a server does.

    A test's own `monkeypatch` is left to it: it is undone before the server ends.
    """
    quick = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "_HASHER", quick)
        yield


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Cluster]:
    """One cluster for all the tests of a process."""
    with ExitStack() as stack:
        yield stack.enter_context(running_postgresql(of=with_template))


@pytest.fixture(scope="session")
def pool(postgresql: Cluster) -> Iterator[DatabasePool]:
    """Databases of the cluster."""
    yield DatabasePool(postgresql)
    kept.close_all()


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> URL:
    """The URL of a database without tables, of either kind."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path)
    pool: DatabasePool = request.getfixturevalue("pool")
    return pool.lend_new()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[URL]:
    """The URL of a database without rows, of either kind."""
    if request.param == "sqlite":
        yield sqlite_url(tmp_path)
        return
    pool: DatabasePool = request.getfixturevalue("pool")
    with pool.lent() as url:
        yield url


@pytest.fixture
async def server(database: URL, tmp_path: Path) -> AsyncIterator[Server]:
    """A server on a fresh database of either kind."""
    async with running(database, tmp_path / "platform.key") as server:
        yield server
