"""Fixtures of the control plane's tests."""

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest
from platform_server import Server, running, sqlite_url
from postgresql import ROLE, Cluster, running_postgresql
from sqlalchemy import URL

from rensei_platform.store.schema import migrate

_numbers = count(1)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Cluster]:
    """One cluster for all the tests of a process."""
    with ExitStack() as stack:
        yield stack.enter_context(running_postgresql())


@pytest.fixture(scope="session")
def template(postgresql: Cluster) -> str:
    """The name of a migrated database, which is copied in a tenth of a migration's time."""
    name = "template_of_tests"
    postgresql.sql(f"CREATE DATABASE {name}")
    migrate(_url(postgresql, name))
    return name


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> URL:
    """The URL of a database without tables, of either kind."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path)
    return _create(request.getfixturevalue("postgresql"))


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> URL:
    """The URL of a database without rows, of either kind."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path)
    template = request.getfixturevalue("template")
    return _create(request.getfixturevalue("postgresql"), template)


def _create(cluster: Cluster, template: str = "template1") -> URL:
    name = f"test_{next(_numbers)}"
    cluster.sql(f"CREATE DATABASE {name} TEMPLATE {template}")
    return _url(cluster, name)


def _url(cluster: Cluster, database: str) -> URL:
    return URL.create(
        "postgresql+psycopg",
        username=ROLE,
        database=database,
        query={"host": str(cluster.directory)},
    )


@pytest.fixture
async def server(database: URL, tmp_path: Path) -> AsyncIterator[Server]:
    """A server on a fresh database of either kind."""
    async with running(database, tmp_path / "platform.key") as server:
        yield server
