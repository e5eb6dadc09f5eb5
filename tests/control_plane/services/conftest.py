"""A replica on a database of either kind, with two organizations and nothing else."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from database_pool import DatabasePool
from platform_server import sqlite_url
from replicas import START, Replica, Source
from sqlalchemy import URL, NullPool, create_engine, delete, insert, update

from rensei_platform.store.engine import Store
from rensei_platform.store.schema import migrate
from rensei_platform.store.tables import bindings, orgs, resolved_sets


def _found(url: URL) -> URL:
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        for org_id in ("org", "other"):
            row = {"id": org_id, "name": org_id, "created_at": START}
            connection.execute(insert(orgs).values(row))
    engine.dispose()
    return url


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of a database, to be copied."""
    url = sqlite_url(tmp_path_factory.mktemp("template"))
    migrate(url)
    return Path(str(_found(url).database))


@pytest.fixture(scope="session")
def postgresql_url(pool: DatabasePool) -> URL:
    """Return the URL of a database that all tests of the services share."""
    return _found(pool.lend_copy())


@pytest.fixture(params=["sqlite", "postgresql"])
async def replica(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Replica]:
    """Return a replica on a database with two organizations."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path)
        url = sqlite_url(tmp_path)
    else:
        url = request.getfixturevalue("postgresql_url")
    store = Store(url)
    yield Replica(store, Source())
    if request.param == "postgresql":
        async with store.write() as db:
            for table in (resolved_sets, bindings):
                await db.execute(delete(table))
            await db.execute(update(orgs).values(values_version=0, last_rotated_at=None))
    await store.close()
