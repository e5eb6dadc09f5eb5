"""An embedded database with an organization, made once a process and copied for a test."""

import sqlite3
import tempfile
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import compiled_statements
from anyio.from_thread import start_blocking_portal
from kept_connections import connected
from psycopg.errors import UndefinedTable
from sqlalchemy import URL, Boolean, Column, delete

from rensei_platform.master_key import create_master_key_file
from rensei_platform.sealing import Sealer
from rensei_platform.services.administration import found_org
from rensei_platform.services.opening import check_master_key
from rensei_platform.services.platform import utc_now
from rensei_platform.store.engine import Store
from rensei_platform.store.schema import migrate
from rensei_platform.store.tables import audit, metadata, schema_steps

ORG = "org_acme"
OWNER = "ada@acme.test"
_DATABASE = "platform.db"

compiled_statements.share()


def sqlite_url(directory: Path) -> URL:
    """Return the URL of an embedded database in a directory."""
    return URL.create("sqlite", database=str(directory / _DATABASE))


def key_file_of(directory: Path) -> Path:
    """Return where the master key of the database in a directory is."""
    return directory / f"{_DATABASE}.key"


class Template(NamedTuple):
    """An embedded database."""

    database: bytes
    """The content of its file."""
    master_key: bytes
    owner_key: str

    def copy_to(self, url: URL, key_file: Path) -> None:
        """Make this database, with the file of its master key, for a test."""
        Path(str(url.database)).write_bytes(self.database)
        key_file.touch(mode=0o600)
        key_file.write_bytes(self.master_key)

    def with_rows_of(self, url: URL) -> "Template":
        """Return a template with what is now in a copy of this one."""
        with closing(sqlite3.connect(str(url.database))) as db:
            return self._replace(database=db.serialize())


def insert_into(url: URL, key_file: Path) -> str:
    """Do the same with a database of PostgreSQL, which is migrated if it has no tables."""
    _, master_key, key = founded()
    key_file.touch(mode=0o600)
    key_file.write_bytes(master_key)
    try:
        _insert_rows(url)
    except UndefinedTable:
        migrate(url)
        _insert_rows(url)
    return key


def _insert_rows(url: URL) -> None:
    with connected(url) as db, db.transaction():
        for statement, rows in _statements().items():
            db.cursor().executemany(statement, rows)


@cache
def _statements() -> dict[bytes, list[tuple[Any, ...]]]:
    """Return what puts the rows of the template into the tables of PostgreSQL."""
    statements = {}
    with tempfile.NamedTemporaryFile() as file, closing(sqlite3.connect(file.name)) as db:
        Path(file.name).write_bytes(founded().database)
        for table in metadata.sorted_tables:
            names = ", ".join(column.name for column in table.columns)
            rows = db.execute(f"SELECT {names} FROM {table.name}").fetchall()  # noqa: S608 - ours
            if rows and table is not schema_steps:
                places = ", ".join(map(_place, table.columns))
                statement = f"INSERT INTO {table.name} ({names}) VALUES ({places})"  # noqa: S608
                statements[statement.encode()] = rows
    return statements


def _place(column: Column[Any]) -> str:
    """Return where a value goes; for SQLite a boolean is a number."""
    return "%s::INTEGER::BOOLEAN" if isinstance(column.type, Boolean) else "%s"


@cache
def founded() -> Template:
    """Return a database with an organization and its owner."""
    with tempfile.TemporaryDirectory() as place, start_blocking_portal() as portal:
        directory = Path(place)
        url, key_file = sqlite_url(directory), key_file_of(directory)
        create_master_key_file(key_file)
        migrate(url)
        key = portal.call(_fill, url, key_file)
        return Template(Path(str(url.database)).read_bytes(), key_file.read_bytes(), key)


async def _fill(url: URL, key_file: Path) -> str:
    """Note the master key and add the organization; return its owner's API key.

    The audit is empty, so that a test finds in it what it has done itself.
    """
    store = Store(url)
    await check_master_key(store, Sealer.from_file(key_file), key_file)
    made = await found_org(store, ORG, "Acme", OWNER, utc_now(), is_operator=True)
    async with store.write() as db:
        await db.execute(delete(audit))
    await store.close()
    return made.text
