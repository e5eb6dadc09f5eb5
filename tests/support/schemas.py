"""Databases as an older version of the program has left them."""

import sqlite3
from contextlib import closing
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import URL, NullPool, create_engine

from rensei_platform.store import schema


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(schema.MIGRATIONS))
    config.set_main_option("path_separator", "os")
    return config


def schema_revisions() -> list[str]:
    """Return the revisions of the schema, newest first."""
    scripts = ScriptDirectory.from_config(_config())
    return [script.revision for script in scripts.walk_revisions()]


def make_schema(url: URL, revision: str) -> None:
    """Make the tables that a database had at a revision."""
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()


def downgrade(database: Path, revision: str) -> None:
    """Put an embedded database back to a revision, with the rows that it had then."""
    older = database.with_name("older.db")
    make_schema(URL.create("sqlite", database=str(older)), revision)
    with closing(sqlite3.connect(older)) as db:
        db.execute("ATTACH ? AS newer", (str(database),))
        tables = db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        for (table,) in tables.fetchall():
            if table.startswith(("sqlite_", "alembic_")):
                continue
            rows = db.execute("SELECT name FROM pragma_table_info(?)", (table,))
            columns = ", ".join(name for (name,) in rows)
            db.execute(
                f"INSERT INTO {table} ({columns}) "  # noqa: S608 - names of our own
                f"SELECT {columns} FROM newer.{table}"
            )
        db.commit()
    older.replace(database)
