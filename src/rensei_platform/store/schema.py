"""The schema: migrated under a lock, and compared with what this version knows."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import NamedTuple

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from sqlalchemy import (
    URL,
    BigInteger,
    Connection,
    NullPool,
    cast,
    create_engine,
    delete,
    event,
    func,
    insert,
    select,
    text,
)
from sqlalchemy.exc import OperationalError

from rensei_platform.errors import SchemaError, StartError, UnavailableError
from rensei_platform.store.engine import prepare_sqlite
from rensei_platform.store.tables import replicas, schema_steps

MIGRATIONS = Path(__file__).with_name("migrations")

_LOCK = 7_306_083_015_912_871
"""The PostgreSQL advisory lock that one migration at a time holds."""
_LOCK_TIMEOUT = "SET LOCAL lock_timeout = '10s'"
"""For a table that is in use: whoever waits for it makes all others wait behind."""

_INIT = "Run rensei-platform init."


def migrate(url: URL) -> str:
    """Create the schema, or bring it up to date; return its revision.

    Raise SchemaError if it is a newer version's, StartError while servers run that could
    not go on with it.
    """
    with _connection(url) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:id)"), {"id": _LOCK})
            connection.execute(text(_LOCK_TIMEOUT))
        config = _config(MIGRATIONS)
        config.attributes["connection"] = connection
        found = MigrationContext.configure(connection).get_current_revision()
        steps = _known_steps()
        known = [step.revision for step in steps]
        if found is not None and found not in known:
            raise _newer(found, known[0])
        if found is not None and found != known[0]:
            _check_servers(connection, steps, found)
        command.upgrade(config, "head")
        connection.execute(delete(schema_steps))
        connection.execute(insert(schema_steps), [step._asdict() for step in steps])
        return known[0]


def check_schema(url: URL) -> None:
    """Raise SchemaError unless the schema is this version's, or its successor's.

    The successor's is one migration newer, which serves the programs before it.
    """
    if url.drivername == "sqlite" and not Path(str(url.database)).exists():
        raise SchemaError(f"{url.database}: there is no database", hint=_INIT)
    known = [step.revision for step in _known_steps()]
    with _connection(url) as connection:
        found = MigrationContext.configure(connection).get_current_revision()
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


def _config(directory: Path) -> Config:
    config = Config()
    config.set_main_option("script_location", str(directory))
    config.set_main_option("path_separator", "os")
    return config


def _known_steps() -> tuple[_Step, ...]:
    """Return the migrations that this version knows, newest first."""
    return _steps_in(MIGRATIONS)


@cache
def _steps_in(directory: Path) -> tuple[_Step, ...]:
    scripts = ScriptDirectory.from_config(_config(directory))
    return tuple(
        _Step(script.revision, _previous(script), script.module.serves_previous)
        for script in scripts.walk_revisions()
    )


def _previous(script: Script) -> str | None:
    """Return the migration before: they are one line, and none merges others."""
    previous = script.down_revision
    return previous if isinstance(previous, str) else None


@contextmanager
def _connection(url: URL) -> Iterator[Connection]:
    """Lend a connection with one transaction around everything, DDL included."""
    engine = create_engine(url, poolclass=NullPool)
    if url.drivername == "sqlite":
        event.listen(engine, "connect", prepare_sqlite)
        event.listen(engine, "begin", lambda c: c.exec_driver_sql("BEGIN EXCLUSIVE"))
    try:
        with engine.begin() as connection:
            yield connection
    except OperationalError as error:
        raise UnavailableError(f"cannot open the database: {error.orig}") from error
    finally:
        engine.dispose()
