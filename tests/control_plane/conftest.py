"""Fixtures of the control plane's tests."""

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest
from platform_server import Server, running, sqlite_url
from postgresql import ROLE, Cluster, running_postgresql
from sqlalchemy import URL

_numbers = count(1)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Cluster]:
    """One cluster for all the tests of a process."""
    with ExitStack() as stack:
        yield stack.enter_context(running_postgresql())


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> URL:
    """The URL of an empty database, of either kind."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path)
    cluster: Cluster = request.getfixturevalue("postgresql")
    name = f"test_{next(_numbers)}"
    cluster.sql(f"CREATE DATABASE {name}")
    return URL.create(
        "postgresql+psycopg",
        username=ROLE,
        database=name,
        query={"host": str(cluster.directory)},
    )


@pytest.fixture
async def server(database: URL, tmp_path: Path) -> AsyncIterator[Server]:
    """A server on a fresh database of either kind."""
    async with running(database, tmp_path / "platform.key") as server:
        yield server
