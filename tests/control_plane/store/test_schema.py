"""The schema, and programs of neighbouring versions that share it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from platform_server import ORG, Server, running, serving_replica
from raw_streams import open_streams
from schemas import make_schema, schema_revisions
from sqlalchemy import URL, NullPool, create_engine, inspect, text

from rensei_platform.errors import SchemaError, StartError, UnavailableError
from rensei_platform.settings import ServerSettings
from rensei_platform.store import schema, tables
from rensei_platform.store.schema import check_schema, migrate, newest_revision

QUICK = ServerSettings(reconcile_seconds=0.05, stop_seconds=0)

MIGRATION = """
import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = "{previous}"
branch_labels = depends_on = None
serves_previous = {serves_previous}


def upgrade():
    op.add_column("hosts", sa.Column("of_{revision}", sa.Text(), nullable=True))
    op.add_column("rotations", sa.Column("of_{revision}", sa.Text(), nullable=True))
    op.create_table("new_{revision}", sa.Column("id", sa.Text(), primary_key=True))
"""


class Versions:
    """The program of this version, and later ones."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self._migrations = [schema.MIGRATIONS]
        self._directory = directory
        self._newest = newest_revision()

    def add(self, revision: str, *, serves_previous: bool = True, end: str = "") -> None:
        """Make the next version, which has one migration more."""
        directory = self._directory / revision
        shutil.copytree(self._migrations[-1], directory)
        (directory / "versions" / f"v{revision}.py").write_text(
            MIGRATION.format(
                revision=revision, previous=self._newest, serves_previous=serves_previous
            )
            + end
        )
        self._migrations.append(directory)
        self._newest = revision

    @contextmanager
    def of(self, number: int) -> Iterator[None]:
        """Be the program of a version while the block runs; 0 is this one."""
        with self._monkeypatch.context() as patch:
            patch.setattr(schema, "MIGRATIONS", self._migrations[number])
            yield


@pytest.fixture
def versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Versions:
    """Versions of the program, to be added."""
    return Versions(tmp_path, monkeypatch)


def test_every_migration_is_read() -> None:
    """Without Alembic, which runs them, in the order in which it does."""
    steps = schema._steps_in(schema.MIGRATIONS)
    assert [step.revision for step in steps] == schema_revisions()
    assert [step.previous for step in steps] == [*schema_revisions()[1:], None]


def test_the_migrations_make_the_tables(empty_database: URL) -> None:
    """What the statements are written for is what a database has."""
    migrate(empty_database)
    assert difference(empty_database) == []


def difference(url: URL) -> list[Any]:
    """Return what the tables of a database and ours differ in."""
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        found = compare_metadata(MigrationContext.configure(connection), tables.metadata)
    engine.dispose()
    return list(found)


@pytest.mark.parametrize("revision", [*schema_revisions()])
def test_every_older_schema_is_brought_up_to_date(
    empty_database: URL, revision: str
) -> None:
    """Whatever version made it, it has the same tables afterwards."""
    make_schema(empty_database, revision)
    migrate(empty_database)
    assert difference(empty_database) == []


def test_a_schema_that_was_brought_up_to_date_is_used(
    empty_database: URL, versions: Versions
) -> None:
    """An empty database and an older one are refused, with what to do."""
    with pytest.raises(SchemaError, match=r"there is no database|is empty"):
        check_schema(empty_database)
    migrate(empty_database)
    newest = newest_revision()
    assert migrate(empty_database) == (newest, newest)
    check_schema(empty_database)
    versions.add("9001")
    with versions.of(1):
        with pytest.raises(SchemaError, match="is older") as refused:
            check_schema(empty_database)
        assert refused.value.hint == "Run rensei-platform migrate."
        assert migrate(empty_database) == (newest, "9001")
        check_schema(empty_database)


def test_a_migration_that_ends_halfway_leaves_the_schema_as_it_was(
    empty_database: URL, versions: Versions
) -> None:
    """And so one that is killed: the next finds all of it to be done."""
    migrate(empty_database)
    versions.add("9001", end="    raise KeyError\n")
    with versions.of(1), pytest.raises(KeyError):
        migrate(empty_database)
    check_schema(empty_database)
    assert difference(empty_database) == []


@pytest.mark.needs("postgresql")
@pytest.mark.parametrize("empty_database", ["postgresql"], indirect=True)
def test_a_migration_does_not_wait_for_ever_for_another(
    empty_database: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for one whose machine has gone, which holds its lock for hours."""
    monkeypatch.setattr(schema, "_MIGRATION_TIMEOUT", "SET LOCAL lock_timeout = '1ms'")
    engine = create_engine(empty_database, poolclass=NullPool)
    with engine.begin() as other:
        other.execute(text("SELECT pg_advisory_xact_lock(:id)"), {"id": schema._LOCK})
        with pytest.raises(UnavailableError) as refused:
            migrate(empty_database)
    engine.dispose()
    assert "such as sqlite3 or a migration" in refused.value.hint
    migrate(empty_database)


def test_one_step_newer_is_used_if_it_expands(
    empty_database: URL, versions: Versions
) -> None:
    """Two steps are too many, and one that takes something away is too."""
    migrate(empty_database)
    versions.add("9001")
    versions.add("9002")
    with versions.of(1):
        migrate(empty_database)
    check_schema(empty_database)
    with versions.of(2):
        migrate(empty_database)
    with versions.of(1):
        check_schema(empty_database)
    for refuse in (check_schema, migrate):
        with pytest.raises(SchemaError, match=r"\(9002\) is newer"):
            refuse(empty_database)


def test_a_step_that_breaks_the_version_before_is_refused(
    empty_database: URL, versions: Versions
) -> None:
    """An older program cannot know what it would do wrong."""
    migrate(empty_database)
    versions.add("9001", serves_previous=False)
    with versions.of(1):
        migrate(empty_database)
        check_schema(empty_database)
    with pytest.raises(SchemaError, match=r"\(9001\) is newer"):
        check_schema(empty_database)


async def use(first: Server, second: Server) -> None:
    """Have two servers work together: mutations, beats, values, a rotation."""
    host = await first.register("build-07")
    host.server = second
    mutation = await host.enqueue()
    assert await host.pending() == [mutation]
    host.server = first
    await host.beat(appliedMutations=[mutation], maxSessions=3)
    assert (await host.history())[mutation]["status"] == "applied"
    values = {"values": {"TOKEN": "t"}}
    await second.ok("PUT", "/api/admin/credentials/github/values", values)
    body = {"orgId": ORG, "sessionId": "s"}
    async with open_streams() as open_stream:
        for server, other in ((first, second), (second, first)):
            await other.ok("POST", "/api/daemon/credentials/snapshot", body)
            stream = await open_stream(other.url, other.key, "s")
            asked = {"orgId": ORG, "kind": "github"}
            await server.ok("POST", "/api/daemon/credentials/rotate", asked)
            assert (await stream.event())["delta"] == {"TOKEN": "t"}


@pytest.mark.needs("postgresql")
@pytest.mark.parametrize("empty_database", ["postgresql"], indirect=True)
async def test_servers_of_two_versions_share_a_database(
    empty_database: URL, tmp_path: Path, versions: Versions
) -> None:
    """One server after the other is upgraded, and the fleet is served all the while."""
    key_file = tmp_path / "platform.key"
    versions.add("9001")
    versions.add("9002")
    async with running(empty_database, key_file, QUICK) as old:
        with versions.of(1):
            await anyio.to_thread.run_sync(migrate, empty_database)
            async with serving_replica(empty_database, key_file, old.key, QUICK) as new:
                await use(old, new)
                await use(new, old)
        # An old server that is started again goes on as well.
        async with serving_replica(empty_database, key_file, old.key, QUICK) as again:
            await use(old, again)
        # Two steps are too many for the servers that run.
        told = "1 servers of an older version"
        with versions.of(2), pytest.raises(StartError, match=told):
            await anyio.to_thread.run_sync(migrate, empty_database)
        await old.register("undisturbed")
    with versions.of(1):
        async with serving_replica(empty_database, key_file, old.key, QUICK) as new:
            with versions.of(2):
                await anyio.to_thread.run_sync(migrate, empty_database)
            await new.register("in the middle")
    engine = create_engine(empty_database, poolclass=NullPool)
    assert {"new_9001", "new_9002"} <= set(inspect(engine).get_table_names())
    engine.dispose()
    with pytest.raises(SchemaError, match="is newer"):
        async with serving_replica(empty_database, key_file, old.key, QUICK):
            pass


@pytest.mark.needs("postgresql")
@pytest.mark.parametrize("empty_database", ["postgresql"], indirect=True)
async def test_a_step_that_breaks_servers_waits_for_them(
    empty_database: URL, tmp_path: Path, versions: Versions
) -> None:
    """It is made once none of them runs."""
    versions.add("9001", serves_previous=False)
    async with running(empty_database, tmp_path / "platform.key", QUICK):
        with versions.of(1), pytest.raises(StartError, match="1 servers"):
            await anyio.to_thread.run_sync(migrate, empty_database)
    with versions.of(1):
        assert (await anyio.to_thread.run_sync(migrate, empty_database)).revision == "9001"
