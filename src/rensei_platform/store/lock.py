"""The lock of an embedded database: one server, or one migration, at a time.

The file of the lock holds the inode of the database that was there when the lock was taken,
so that others can see that its holder has a file open that is not at the path any more.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy import URL

from rensei_platform.errors import StartError
from rensei_platform.ownership import give_to_owner_of_directory, private

_MOST_DIGITS = 20


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
        file = open(path, "ab", buffering=0, opener=private)  # noqa: SIM115 - closed below
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
        with suppress(OSError):  # a full disk is no reason not to start
            os.ftruncate(file.fileno(), 0)
            file.write(_inode_of(url.database))
        yield


def is_removed(url: URL) -> bool:
    """Whether a process holds an embedded database whose file is gone from its path.

    There is none any more, or another one.
    """
    if url.drivername != "sqlite" or url.database is None:
        return False
    found = _inode_of(url.database)
    try:
        with _lock_of(url.database).open("rb") as file:
            opened = file.read(_MOST_DIGITS)
            if found and (not opened or found == opened):
                return False  # without a touch to the lock: a server may be starting
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _inode_of(database: str) -> bytes:
    """Return the number of a file; empty if there is none."""
    try:
        return b"%d" % Path(database).stat().st_ino
    except OSError:
        return b""


def _lock_of(database: str) -> Path:
    return Path(f"{database}.lock")
