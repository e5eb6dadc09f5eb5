"""The lock of an embedded database: one server, or one migration, at a time."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL

from rensei_platform.errors import StartError
from rensei_platform.ownership import give_to_owner_of_directory


@contextmanager
def exclusive(url: URL) -> Iterator[None]:
    """Hold the database for this process; PostgreSQL needs no such lock.

    Raise StartError if another process holds it.
    """
    if url.drivername != "sqlite" or url.database is None:
        yield
        return
    path = _lock_of(url.database)
    try:
        file = path.open("a")
    except OSError as error:
        raise StartError(
            f"{path}: cannot open the lock: {error.strerror}",
            hint="The directory of the database must be there, and writable.",
        ) from error
    with file:
        give_to_owner_of_directory(path)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StartError(
                f"{url.database}: another process holds the database",
                hint="Stop it first, or ask it over HTTP with a key.",
            ) from None
        yield


def is_removed(url: URL) -> bool:
    """Whether a process holds an embedded database whose file is not there any more."""
    if url.drivername != "sqlite" or url.database is None or Path(url.database).exists():
        return False
    try:
        with _lock_of(url.database).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _lock_of(database: str) -> Path:
    return Path(f"{database}.lock")
