"""What the errors of the databases are called."""

import re
import threading
from pathlib import Path

import psycopg
import pytest
from database_pool import DatabasePool
from polling import until
from sqlalchemy import URL

from rensei_platform.store import trouble
from rensei_platform.store.database_file import DatabaseFile
from rensei_platform.store.engine import Store
from rensei_platform.store.trouble import (
    DAMAGED,
    LOGIN,
    NOT_OPENED,
    UNREACHABLE,
    DatabaseError,
    Trouble,
)

PAGE = Path(__file__).parents[3] / "docs" / "control-plane.md"


async def _met(url: URL) -> Trouble:
    store = Store(url)
    with pytest.raises(DatabaseError) as met:
        await store.ping()
    await store.close()
    return met.value.trouble


def _threads() -> set[str]:
    """Return the threads that have a connection."""
    names = (thread.name for thread in threading.enumerate())
    return {name for name in names if "connection_worker" in name}


async def test_file_that_is_no_database(tmp_path: Path) -> None:
    """It is damaged, and leaves no thread; a directory that is not there has none."""
    threads = _threads()
    (tmp_path / "a.db").write_bytes(b"something else" * 100)
    assert await _met(URL.create("sqlite", database=f"{tmp_path}/a.db")) is DAMAGED
    await until(lambda: _threads() <= threads)
    assert await _met(URL.create("sqlite", database=f"{tmp_path}/none/a.db")) is NOT_OPENED
    await until(lambda: _threads() <= threads)  # it still answers the event loop


@pytest.mark.needs("postgresql")
async def test_refused_login(pool: DatabasePool, tmp_path: Path) -> None:
    """A role or a database that is not there is one thing, no server another."""
    with pool.lent() as url:
        assert await _met(url.set(username="nobody_else")) is LOGIN
        assert await _met(url.set(database="no_such")) is LOGIN
        assert await _met(url.set(query={"host": str(tmp_path)})) is UNREACHABLE


def test_every_trouble_is_documented() -> None:
    """The page has each cause with what is said of it and what to do."""
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+?) \|$", PAGE.read_text(), re.MULTILINE)
    troubles = [one for one in vars(trouble).values() if isinstance(one, Trouble)]
    assert rows == [(one.cause, one.message, one.hint) for one in troubles]


def test_detail_is_the_first_line() -> None:
    """PostgreSQL's second line quotes the row; control characters are escaped."""
    error = psycopg.OperationalError("it \x1b[31mfails\nDETAIL: Key (value)=(canary)")
    assert trouble.first_line(error) == "it \\x1b[31mfails"
    assert trouble.first_line(None) == ""


def test_no_file_is_always_there() -> None:
    """A database of PostgreSQL has none here."""
    DatabaseFile(None).check()
