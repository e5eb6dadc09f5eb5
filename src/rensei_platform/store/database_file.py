"""The file of an embedded database: whether it is still the one that was opened.

SQLite goes on with a file that was removed, and what it writes then is nowhere.
"""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from rensei_platform.store.trouble import OTHERS_LOG, REMOVED, DatabaseError

_HEAD_BYTES = 20
_WITHOUT_LOG = b"\x01\x01"
"""In the head of a file that was written without a log, as `backup` writes it."""


def check_log(path: Path) -> None:
    """Raise DatabaseError if the log beside a database cannot be of it.

    A backup was put in the place of a database that a server was killed with, and the log
    was left. SQLite would apply it to the copy, which damages it without a word.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
        log = path.with_name(f"{path.name}-wal").stat().st_size
    except OSError:
        return
    if log and head[18:] == _WITHOUT_LOG:
        raise DatabaseError(OTHERS_LOG)


def found_damage(path: Path, seconds: float) -> str:
    """Return what is damaged in a database that may be in use. Empty if nothing is found.

    It is read for so long at most, and what comes after that counts as sound.
    """
    deadline = time.monotonic() + seconds
    try:
        with closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        ) as database:
            database.set_progress_handler(
                lambda: time.monotonic() > deadline, _STEPS_BETWEEN_LOOKS
            )
            (found,) = database.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError:  # interrupted, or locked: others say so
        return ""
    except sqlite3.DatabaseError as error:
        return str(error)
    return "" if found == "ok" else " ".join(found.split())


_STEPS_BETWEEN_LOOKS = 10_000
"""Of SQLite's machine, which takes a millisecond or less for them."""


class DatabaseFile:
    """The file at a path; None for a database that has no file here."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._identity: tuple[int, int] | None = None

    def check(self) -> None:
        """Raise DatabaseError if there is another file, or none, where there was one."""
        if self._path is None:
            return
        found = _identity(self._path)
        if self._identity is None:
            self._identity = found
        elif found != self._identity:
            raise DatabaseError(REMOVED)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
