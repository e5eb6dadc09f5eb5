"""The schema: migrated under a lock, and compared with what this version knows."""

import ast
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import (
    URL,
    BigInteger,
    Column,
    Connection,
    MetaData,
    NullPool,
    Table,
    Text,
    cast,
    create_engine,
    delete,
    event,
    func,
    insert,
    inspect,
    select,
    text,
)

from rensei_platform.errors import SchemaError, StartError, UnavailableError
from rensei_platform.ownership import private
from rensei_platform.rules.callers import on_the_host
from rensei_platform.store.audit import entry
from rensei_platform.store.database_file import check_log
from rensei_platform.store.engine import (
    POSTGRESQL_DIALECT,
    prepare_sqlite,
    sqlite_arguments,
)
from rensei_platform.store.tables import audit, orgs, replicas, schema_steps
from rensei_platform.store.trouble import DatabaseError, explained

MIGRATIONS = Path(__file__).with_name("migrations")

_LOCK = 7_306_083_015_912_871
"""The PostgreSQL advisory lock that one migration at a time holds."""
_MIGRATION_TIMEOUT = "SET LOCAL lock_timeout = '5min'"
"""For another migration: one whose machine has gone holds its lock for hours."""
_LOCK_TIMEOUT = "SET LOCAL lock_timeout = '10s'"
"""For a table that is in use: whoever waits for it makes all others wait behind."""

_INIT = "Run rensei-platform init."


class Migration(NamedTuple):
    """What became of a schema."""

    previous: str | None
    """The revision before; None if there was no schema."""
    revision: str


def migrate(url: URL) -> Migration:
    """Create the schema, or bring it up to date.

    It is one transaction, with its entries in the audit: a process that is killed leaves
    the schema as it was.

    Raise SchemaError if it is a newer version's, StartError while servers run that could
    not go on with it.
    """
    if url.drivername == "sqlite":
        _make_private(str(url.database))
    with _connection(url) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text(_MIGRATION_TIMEOUT))
            connection.execute(text("SELECT pg_advisory_xact_lock(:id)"), {"id": _LOCK})
            connection.execute(text(_LOCK_TIMEOUT))
        found = _revision(connection)
        steps = _known_steps()
        known = [step.revision for step in steps]
        if found is not None and found not in known:
            raise _newer(found, known[0])
        if found is not None and found != known[0]:
            _check_servers(connection, steps, found)
        if found != known[0]:
            _upgrade(connection)
            if found is not None:
                _note(connection, found, known[0])
        connection.execute(delete(schema_steps))
        connection.execute(insert(schema_steps), [step._asdict() for step in steps])
        return Migration(found, known[0])


def _note(connection: Connection, found: str, revision: str) -> None:
    """Put a migration into the audit of every organization: it is of all."""
    now = datetime.now(UTC)
    entries = [
        entry(
            on_the_host(org_id, "migrate"), "schema.migrate", revision, now, previous=found
        )
        for org_id in connection.scalars(select(orgs.c.id))
    ]
    if entries:
        connection.execute(insert(audit), entries)


def _make_private(database: str) -> None:
    """Make an empty file with mode 0600 if there is none; one that is there stays.

    SQLite would make it with 0644. What it keeps beside it has the same mode.
    """
    with suppress(OSError), open(database, "ab", opener=private):
        pass


def check_schema(url: URL) -> None:
    """Raise SchemaError unless the schema is this version's, or its successor's.

    The successor's is one migration newer, which serves the programs before it.
    """
    if url.drivername == "sqlite" and not Path(str(url.database)).exists():
        raise SchemaError(f"{url.database}: there is no database", hint=_INIT)
    known = [step.revision for step in _known_steps()]
    with _connection(url) as connection:
        found = _revision(connection)
        if found is None:
            raise SchemaError("the database is empty", hint=_INIT)
        if found in known[1:]:
            raise SchemaError(
                f"the database's schema is older ({found}) than this version ({known[0]})",
                hint="Run rensei-platform migrate.",
            )
        if found not in known and known[0] not in _served(connection, found):
            raise _newer(found, known[0])


def newest_revision() -> str:
    """Return the newest revision that this version knows."""
    return _known_steps()[0].revision


def _newer(found: str, known: str) -> SchemaError:
    return SchemaError(
        f"the database's schema ({found}) is newer than this version ({known})",
        hint="Install the version that migrated it.",
    )


class _Step(NamedTuple):
    """A migration, as programs that do not know it read it in the database."""

    revision: str
    previous: str | None
    serves_previous: bool
    """Whether programs that know only `previous` go on with it."""


def _served(connection: Connection, revision: str) -> set[str | None]:
    """Return what a program must know to use a schema that is newer than this program."""
    found = connection.execute(
        select(schema_steps).where(schema_steps.c.revision == revision)
    )
    return {row.previous for row in found if row.serves_previous}


def _check_servers(connection: Connection, steps: Sequence[_Step], found: str) -> None:
    """Raise StartError if a server runs that could not go on with the newest schema."""
    if connection.dialect.name != "postgresql":
        return  # the lock of an embedded database says that no server runs
    if found < _SERVERS_SAY_SCHEMA:
        return  # nobody can tell
    newest = steps[0]
    fitting = {newest.revision, newest.previous if newest.serves_previous else None}
    rows = connection.execute(select(replicas.c.id, replicas.c.schema).where(_IS_THERE))
    unfit = [row.id for row in rows if row.schema not in fitting - {None}]
    if unfit:
        raise StartError(
            f"{len(unfit)} servers of an older version use the database",
            hint="Stop them, or upgrade them first: versions that are neighbours run "
            "beside each other. One that has crashed is forgotten after a minute.",
        )


_SERVERS_SAY_SCHEMA = "0005"
_IS_THERE = cast(replicas.c.seen_at, BigInteger) > (
    cast(func.extract("epoch", func.clock_timestamp()) * 1000, BigInteger) - 60_000
)
"""Servers say every few seconds that they are there."""


def _upgrade(connection: Connection) -> None:
    """Run the migrations that are missing."""
    # Here, since nothing else needs it: it is a sixth of what a command has to import.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _revision(connection: Connection) -> str | None:
    """Return the revision of a database, which Alembic keeps in a table; None without."""
    if not inspect(connection).has_table(_ALEMBIC.name):
        return None
    return connection.scalar(select(_ALEMBIC.c.version_num))


_ALEMBIC = Table("alembic_version", MetaData(), Column("version_num", Text))


def _known_steps() -> tuple[_Step, ...]:
    """Return the migrations that this version knows, newest first."""
    return _steps_in(MIGRATIONS)


@cache
def _steps_in(directory: Path) -> tuple[_Step, ...]:
    """Read, and do not run, the migrations of a directory: they are one line."""
    read = map(_step, directory.glob("versions/v*.py"))
    after = {step.previous: step for step in read}
    line, previous = [], None
    while step := after.get(previous):
        line.append(step)
        previous = step.revision
    return tuple(reversed(line))


def _step(file: Path) -> _Step:
    """Read what a migration says of itself before its functions."""
    said = {
        node.targets[0].id: node.value.value
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Constant)
    }
    return _Step(
        revision=str(said["revision"]),
        previous=None if (previous := said["down_revision"]) is None else str(previous),
        serves_previous=bool(said["serves_previous"]),
    )


@contextmanager
def _connection(url: URL) -> Iterator[Connection]:
    """Lend a connection with one transaction around everything, DDL included."""
    is_sqlite = url.drivername == "sqlite"
    if is_sqlite:
        check_log(Path(str(url.database)))
        engine = create_engine(url, poolclass=NullPool, connect_args=sqlite_arguments())
        event.listen(engine, "connect", prepare_sqlite)
        event.listen(engine, "begin", lambda c: c.exec_driver_sql("BEGIN EXCLUSIVE"))
    else:
        engine = create_engine(url, poolclass=NullPool, **POSTGRESQL_DIALECT)
    try:
        with explained(), engine.begin() as connection:
            yield connection
    except DatabaseError as error:
        said = getattr(error.__cause__, "orig", error.__cause__)
        message = f"cannot open the database: {said}"
        raise UnavailableError(message, hint=error.hint) from error
    finally:
        engine.dispose()
