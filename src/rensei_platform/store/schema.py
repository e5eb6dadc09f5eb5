"""The schema: migrated under a lock, and compared with what this version knows."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, NullPool, create_engine, event, text
from sqlalchemy.exc import OperationalError

from rensei_platform.errors import SchemaError, UnavailableError
from rensei_platform.store.engine import prepare_sqlite

_LOCK = 7_306_083_015_912_871
"""The PostgreSQL advisory lock that one migration at a time holds."""


_INIT = "Run rensei-platform init."


def migrate(url: URL) -> str:
    """Create the schema, or bring it up to date; return its revision.

    Raise SchemaError if it is a newer version's.
    """
    with _connection(url) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:id)"), {"id": _LOCK})
        config = _config()
        config.attributes["connection"] = connection
        found = MigrationContext.configure(connection).get_current_revision()
        known = _known_revisions()
        if found is not None and found not in known:
            raise _newer(found, known[0])
        command.upgrade(config, "head")
        return known[0]


def check_schema(url: URL) -> None:
    """Raise SchemaError unless the schema is this version's, or one migration newer."""
    if url.drivername == "sqlite" and not Path(str(url.database)).exists():
        raise SchemaError(f"{url.database}: there is no database", hint=_INIT)
    with _connection(url) as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    known = _known_revisions()
    if found is None:
        raise SchemaError("the database is empty", hint=_INIT)
    if found in known[1:]:
        raise SchemaError(
            f"the database's schema is older ({found}) than this version ({known[0]})",
            hint="Stop every server of it, then run rensei-platform migrate.",
        )
    if found not in known:
        raise _newer(found, known[0])


def _newer(found: str, known: str) -> SchemaError:
    return SchemaError(
        f"the database's schema ({found}) is newer than this version ({known})",
        hint="Install the version that migrated it.",
    )


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    config.set_main_option("path_separator", "os")
    return config


def _known_revisions() -> list[str]:
    """Return the revisions that this version knows, newest first."""
    scripts = ScriptDirectory.from_config(_config())
    return [script.revision for script in scripts.walk_revisions()]


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
