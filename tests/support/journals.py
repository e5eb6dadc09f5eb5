"""A journal of a test's own, open as long as the block."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path

from rensei_daemon.disk.journal import Journal
from rensei_daemon.disk.journal_database import Database


def open_database(path: Path, *, now: datetime) -> tuple[Database, Path | None]:
    """Return the open database, and where a foreign file was moved to.

    Raises the errors of `Database.open`.
    """
    database = Database(path)
    return database, database.open(now=now)


@contextmanager
def open_journal(path: Path, *, now: datetime) -> Iterator[tuple[Journal, Path | None]]:
    """Open the journal; beside it, where a file went that was none of ours."""
    database, set_aside = open_database(path, now=now)
    with closing(database):
        yield Journal(database), set_aside
