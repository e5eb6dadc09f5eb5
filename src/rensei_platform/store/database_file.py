"""The file of an embedded database: whether it is still the one that was opened.

SQLite goes on with a file that was removed, and what it writes then is nowhere.
"""

from pathlib import Path

from rensei_platform.store.trouble import REMOVED, DatabaseError


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
