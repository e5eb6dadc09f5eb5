"""What is wrong with a database, from what its driver says: in words, and what to do.

    the driver's error --> Trouble --> the answer (503), the log, /readyz and `doctor`

An operator reads the same sentence everywhere. A trouble that lasts is remembered until a
statement of the same kind, a read or a write, succeeds.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import psycopg
import structlog
from sqlalchemy.exc import DataError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from rensei_platform.errors import InvalidRequestError, UnavailableError
from rensei_platform.log_limit import LogLimit

READ: Final = "read"
WRITE: Final = "write"

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a database does not do what it is asked."""

    cause: str
    """A word for the log."""
    message: str
    hint: str
    lasts: bool = True
    """Whether the next request will meet it as well."""


UNREACHABLE: Final = Trouble(
    "unreachable",
    "The database cannot be reached; try again later.",
    "Check that it runs, and that this server may connect to it.",
)
NOT_OPENED: Final = Trouble(
    "not_opened",
    "The file of the database cannot be opened.",
    "Be root or the service's user; its directory must be there, and writable.",
)
LOGIN: Final = Trouble(
    "login",
    "The database refuses the login of this server.",
    "Check the user and password in `database`, and who may connect (pg_hba.conf).",
)
RIGHTS: Final = Trouble(
    "rights",
    "The database does not let this server's user do what it must.",
    "Let its role own the tables, as after `rensei-platform migrate` with the same user.",
)
STOPPING: Final = Trouble(
    "stopping",
    "The database is starting or stopping; try again later.",
    "Wait until it is up; the server connects again by itself.",
)
CONNECTIONS: Final = Trouble(
    "connections",
    "The database accepts no more connections; try again later.",
    "Raise max_connections of PostgreSQL, or end its idle clients.",
)
READ_ONLY: Final = Trouble(
    "read_only",
    "The database is read-only: nothing can be changed.",
    "Make it writable: see the mount and mode of its file, or, with PostgreSQL, "
    "default_transaction_read_only and whether the server is a standby.",
)
FULL: Final = Trouble(
    "disk_full",
    "The disk of the database is full: nothing can be changed.",
    "Make room on it; the server goes on by itself.",
)
DISK: Final = Trouble(
    "disk",
    "The disk of the database fails.",
    "See the kernel's log (dmesg) for the device of the database.",
)
DAMAGED: Final = Trouble(
    "damaged",
    "The file of the database is damaged.",
    "Stop the server and restore a backup.",
)
REMOVED: Final = Trouble(
    "removed",
    "The file of the database was removed or replaced while the server has it open.",
    "Put the same file back; or stop the server, restore a backup, and start it.",
)
OTHERS_LOG: Final = Trouble(
    "others_log",
    "The log beside the file of the database (-wal) is of the one that was there before.",
    "Remove the -wal and -shm files beside it; then nothing but the copy counts.",
)
LOCKED: Final = Trouble(
    "locked",
    "Another program holds the lock of the database; try again later.",
    "End the program that has a transaction open, such as sqlite3 or a migration.",
)
BUSY: Final = Trouble(
    "busy",
    "The database has more to do than it can; try again later.",
    "If this goes on, see what its disk and its other clients do.",
    lasts=False,
)
CANCELLED: Final = Trouble(
    "cancelled",
    "The database cancelled a statement; try again later.",
    "If this goes on, see its log for what was slow, or for who cancels.",
    lasts=False,
)
SCHEMA: Final = Trouble(
    "schema",
    "The schema of the database is not the one that this server started with.",
    "Run `rensei-platform migrate`, then start the server again.",
)

_SQLITE: Final = {
    sqlite3.SQLITE_BUSY: LOCKED,
    sqlite3.SQLITE_LOCKED: LOCKED,
    sqlite3.SQLITE_READONLY: READ_ONLY,
    sqlite3.SQLITE_PERM: READ_ONLY,
    sqlite3.SQLITE_IOERR: DISK,
    sqlite3.SQLITE_CORRUPT: DAMAGED,
    sqlite3.SQLITE_NOTADB: DAMAGED,
    sqlite3.SQLITE_FULL: FULL,
    sqlite3.SQLITE_CANTOPEN: NOT_OPENED,
}
_POSTGRESQL: Final = {
    "25006": READ_ONLY,
    "42501": RIGHTS,
    "28": LOGIN,
    "3D": LOGIN,
    "42P01": SCHEMA,
    "42703": SCHEMA,
    "53100": FULL,
    "53300": CONNECTIONS,
    "55P03": LOCKED,
    "57014": CANCELLED,
    "57": STOPPING,
    "58": DISK,
    "XX001": DAMAGED,
    "XX002": DAMAGED,
    "40": BUSY,
    "53": BUSY,
}
"""By SQLSTATE, or its class."""
_REFUSED: Final = {
    "too many": CONNECTIONS,
    "remaining connection slots": CONNECTIONS,
    "starting up": STOPPING,
    "shutting down": STOPPING,
    "recovery": STOPPING,
    "authentication failed": LOGIN,
    "no pg_hba.conf entry": LOGIN,
    "does not exist": LOGIN,
}
"""By a part of the text: a connection that is refused comes without a SQLSTATE."""
_MOST_DETAIL = 200


def diagnosed(error: BaseException) -> Trouble | None:
    """Return the trouble that an error of SQLAlchemy or a driver means.

    None if it is none of the database's: then a statement of ours is wrong.
    """
    if isinstance(error, PoolTimeoutError | TimeoutError):
        return BUSY
    found: BaseException | None = error
    if isinstance(error, DBAPIError):
        found = error.orig
    if isinstance(found, sqlite3.Error):
        return _of_sqlite(found)
    state = getattr(found, "sqlstate", None)
    if isinstance(state, str):
        return _POSTGRESQL.get(state, _POSTGRESQL.get(state[:2]))
    text = str(found)
    refused = (trouble for part, trouble in _REFUSED.items() if part in text)
    return next(refused, UNREACHABLE)


def _of_sqlite(error: sqlite3.Error) -> Trouble | None:
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:  # raised by the module itself, such as for a closed connection
        return UNREACHABLE
    if code == sqlite3.SQLITE_ERROR:
        return SCHEMA if str(error).startswith("no such ") else None
    if code == sqlite3.SQLITE_IOERR_SHMSIZE:
        return FULL  # no room for the index of the log, which each first connection makes
    return _SQLITE.get(code & 0xFF)


class DatabaseError(UnavailableError):
    """The database does not do what it is asked."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.message, hint=trouble.hint)
        self.trouble = trouble


@contextmanager
def explained() -> Iterator[None]:
    """Raise DatabaseError, with what to do, for an error that means trouble.

    InvalidRequestError for a value that no column can hold, such as NUL on PostgreSQL.
    """
    try:
        yield
    except (DataError, psycopg.DataError) as error:
        message = "The request holds a value that cannot be stored"
        raise InvalidRequestError(message) from error
    except _ERRORS as error:
        trouble = diagnosed(error)
        if trouble is None:
            raise
        raise DatabaseError(trouble) from error


_ERRORS = (DBAPIError, PoolTimeoutError, sqlite3.Error, psycopg.Error, TimeoutError)


class Troubles:
    """What reads and writes have met, until they succeed again."""

    def __init__(self, *, is_logged: bool) -> None:
        self._limit, self._is_logged = LogLimit(), is_logged
        self._lasting: dict[str, Trouble] = {}

    @property
    def stops_writes(self) -> bool:
        """Whether the last write met a trouble that lasts."""
        return WRITE in self._lasting

    @property
    def advice(self) -> str:
        """What the last read or write has met, and what to do. Empty if they succeeded."""
        troubles = self._lasting.values()
        return next((f"{one.message} {one.hint}" for one in troubles), "")

    @contextmanager
    def noted(self, access: str) -> Iterator[None]:
        """Remember and log what a read or a write meets; forget it if it succeeds."""
        try:
            yield
        except DatabaseError as error:
            self._note(access, error)
            raise
        if access in self._lasting:
            trouble = self._lasting.pop(access)
            if self._is_logged:
                _log.info("database.recovered", access=access, cause=trouble.cause)

    def _note(self, access: str, error: DatabaseError) -> None:
        trouble = error.trouble
        if trouble.lasts:
            self._lasting[access] = trouble
        if self._is_logged:
            self._log(access, trouble, first_line(error.__cause__))

    def _log(self, access: str, trouble: Trouble, detail: str) -> None:
        self._limit.warning(
            "database.trouble",
            about=trouble.cause,
            access=access,
            cause=trouble.cause,
            error=trouble.message,
            hint=trouble.hint,
            detail=detail,
        )


def first_line(cause: BaseException | None) -> str:
    """Return the first line of what the driver said; the others may quote a row."""
    said = getattr(cause, "orig", cause)
    return ascii(str(said or "").partition("\n")[0][:_MOST_DETAIL])[1:-1]
