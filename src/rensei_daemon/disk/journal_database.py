"""The journal's SQLite database: how it is opened, and its transactions.

The file is in the state directory. A transaction is durable when it returns (WAL,
synchronous=FULL).
"""

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from rensei_daemon.disk import journal_schema
from rensei_daemon.disk.atomic_file import storage_errors
from rensei_daemon.errors import NotPermittedError, StorageError

Run = Callable[..., sqlite3.Cursor]
"""Executes one statement of a transaction."""

WAL_KEPT_BYTES = 4 * 1024 * 1024
"""Size to which the write-ahead log is truncated after a large transaction."""

WAL_MOST_BYTES = 8 * 1024 * 1024
"""Size that the write-ahead log may reach: SQLite starts it again once it has 1,000 pages.
"""

_SHRUNK_AT_ONCE = 256
"""Pages freed at once; each is copied through the write-ahead log."""

LOCKED_SECONDS = 1.0
"""How long a transaction waits for the lock of another process. The caller tries again
later; until then no other thread can use the journal."""


class Database:
    """One database; its methods block and may be called from any thread.

    It is opened when that is possible. Until then, every use raises the error of the
    last attempt.
    """

    def __init__(self, path: Path, opened: sqlite3.Connection | None = None) -> None:
        self.path = path
        self._opened = opened
        self._trouble = StorageError(f"{path}: it is not open yet")
        self._mutex = threading.Lock()

    @property
    def is_open(self) -> bool:
        """Whether the database is open."""
        return self._opened is not None

    def open(self, *, now: datetime) -> Path | None:
        """Open the file and create it if needed; return where a foreign file was moved to.

        A file that is not a journal is renamed, never deleted. Raises
        `StorageError` if the disk fails or if a newer version wrote the file.
        """
        try:
            self._opened, set_aside = _open(self.path, now)
        except StorageError as error:
            self._trouble = error
            raise
        return set_aside

    @property
    def _connection(self) -> sqlite3.Connection:
        if self._opened is None:
            raise StorageError(str(self._trouble), hint=self._trouble.hint)
        return self._opened

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[sqlite3.Row]:
        """Return the rows of a query."""
        with self._mutex, database_errors(self.path):
            return self._connection.execute(sql, parameters).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[Run]:
        """Run statements that become durable together, or not at all."""
        with self._mutex, database_errors(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection.execute
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def used_bytes(self) -> int:
        """Return the size of the database's content, without free pages."""
        pages = self._pragma("page_count") - self._pragma("freelist_count")
        return pages * self._pragma("page_size")

    def shrink(self, most_bytes: int) -> None:
        """Return free pages to the disk until the file has this size, if possible.

        It is not possible for a file that was created before this limit existed.
        """
        most_pages = most_bytes // self._pragma("page_size")
        while (surplus := (pages := self._pragma("page_count")) - most_pages) > 0:
            with self._mutex, database_errors(self.path):
                # As a script: one step of the statement frees one page.
                freed = min(surplus, _SHRUNK_AT_ONCE)
                self._connection.executescript(f"PRAGMA incremental_vacuum({freed})")
            if self._pragma("page_count") == pages:
                break

    def _pragma(self, name: str) -> int:
        return int(self.rows(f"PRAGMA {name}")[0][0])

    def close(self) -> None:
        """Close the file if it is open."""
        if self._opened is not None:
            self._opened.close()


def _open(path: Path, now: datetime) -> tuple[sqlite3.Connection, Path | None]:
    aside = None
    try:
        connection = _connected(path)
    except sqlite3.OperationalError as error:
        raise _storage_error(path, error) from error
    except sqlite3.DatabaseError:
        aside = path.with_name(f"{path.name}.damaged-{now.astimezone(UTC):%Y%m%dT%H%M%SZ}")
        with storage_errors(path):
            path.rename(aside)
            for suffix in ("-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
        with database_errors(path):
            connection = _connected(path)
    return connection, aside


def _connected(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, timeout=LOCKED_SECONDS
    )
    try:
        with storage_errors(path):
            path.chmod(0o600)
        connection.row_factory = sqlite3.Row
        version = _version(connection, path)
        if not version:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        _write_ahead(connection, path)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA journal_size_limit = {WAL_KEPT_BYTES}")
        for number in range(version, journal_schema.VERSION):
            step = f"{journal_schema.STEPS[number]} PRAGMA user_version = {number + 1};"
            connection.executescript(f"BEGIN; {step} COMMIT;")
        if connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            raise sqlite3.DatabaseError("quick_check failed")
    except BaseException:
        connection.close()
        raise
    return connection


def _write_ahead(connection: sqlite3.Connection, path: Path) -> None:
    """Turn on the write-ahead log; raises `StorageError` if the file system has none."""
    try:
        [(mode,)] = connection.execute("PRAGMA journal_mode = WAL")
    except sqlite3.OperationalError as error:
        if not error.sqlite_errorname.startswith(("SQLITE_IOERR_SHM", "SQLITE_PROTOCOL")):
            raise
        mode = str(error)
    if mode != "wal":
        raise StorageError(
            f"{path}: its file system cannot hold a write-ahead log of SQLite ({mode})",
            hint=f"put [paths].state on a local disk; see: findmnt --target {path.parent}",
        )


def _version(connection: sqlite3.Connection, path: Path) -> int:
    """Return the journal's version, 0 for a new file; raises for a foreign file."""
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    mark = connection.execute("PRAGMA application_id").fetchone()[0]
    if mark != journal_schema.APPLICATION_ID and (version or tables):
        raise sqlite3.DatabaseError("a database of another program")
    if version > journal_schema.VERSION:
        raise StorageError(
            f"{path}: written by a newer rensei-daemon (schema {version})",
            hint="install that version again, or move the file away",
        )
    return version


@contextmanager
def read_database(path: Path) -> Iterator[Database]:
    """Open a database that no process has open, for reading; nothing in it is changed.

    Raises `FileNotFoundError`, `NotPermittedError` and `StorageError`.
    """
    try:
        path.stat()
        with path.open("rb"):
            pass
    except PermissionError as error:
        raise NotPermittedError(
            f"{path}: only root and the daemon's user may read it",
            hint="use sudo, or ask the running daemon: systemctl start rensei-daemon",
        ) from error
    with database_errors(path), closing(_connected_to_read(path)) as connection:
        yield Database(path, connection)


def _connected_to_read(path: Path) -> sqlite3.Connection:
    # The write-ahead log that a crash left is read too; when root has to create its
    # files, SQLite keeps their owner.
    uri = f"{path.absolute().as_uri()}?mode=ro"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None)
    try:
        connection.row_factory = sqlite3.Row
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version != journal_schema.VERSION:
            raise StorageError(
                f"{path}: written by another version of rensei-daemon (schema {version})",
                hint="use the command of the version that runs here",
            )
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def database_errors(path: Path) -> Iterator[None]:
    """Translate a database error into `StorageError`, with a hint where to look."""
    try:
        yield
    except sqlite3.Error as error:
        raise _storage_error(path, error) from error


def _storage_error(path: Path, error: sqlite3.Error) -> StorageError:
    hint = f"see the disk: df -h {path.parent}; ls -ld {path.parent} {path}"
    return StorageError(f"{path}: {error}", hint=hint)
