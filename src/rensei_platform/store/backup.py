"""A copy of the database, made while servers use it."""

import fcntl
import os
import secrets
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from glob import escape
from pathlib import Path

from sqlalchemy import URL

from rensei_platform.errors import StorageError, UnavailableError

_LONGEST_MESSAGE = 500


def back_up(url: URL, file: Path) -> None:
    """Write a copy to a new file, mode 0600; it is on disk when this returns.

    Raise StorageError if it cannot be written, UnavailableError if the database is away or
    the program that copies it fails.
    """
    with draft_of(file) as draft:
        if url.drivername == "sqlite":
            _copy_sqlite(Path(str(url.database)), draft)
        else:
            _dump_postgresql(url, draft)


@contextmanager
def draft_of(file: Path) -> Iterator[Path]:
    """Lend a file beside the one asked for, which becomes it if the block succeeds.

    Another backup to the same file has one of its own. Those of backups that were killed
    are removed.
    """
    draft = file.parent / f".{file.name}.{secrets.token_hex(4)}.part"
    unlocked = draft.with_suffix(".new")
    try:
        held = os.open(unlocked, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unwritable(file, error) from error
    try:
        with suppress(OSError):  # where no file can be locked, none is removed either
            fcntl.flock(held, fcntl.LOCK_EX)
        unlocked.rename(draft)  # others remove a draft that nobody holds
        _remove_left(file)
        yield draft
        with draft.open("rb+") as written:
            os.fsync(written.fileno())
        os.link(draft, file)  # unlike a rename it replaces nothing
        directory = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise _unwritable(file, error) from error
    finally:
        os.close(held)
        for left in (unlocked, draft):
            with suppress(OSError):
                left.unlink(missing_ok=True)


def _unwritable(file: Path, error: OSError) -> StorageError:
    return StorageError(
        f"{file}: cannot write the backup: {error.strerror}",
        hint="Name a new file, in a directory with room for a copy of the database.",
    )


def _remove_left(file: Path) -> None:
    """Remove the drafts of backups to this file that nobody holds any more."""
    for left in file.parent.glob(f".{escape(file.name)}.*.part"):
        with suppress(OSError), left.open("rb") as opened:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            left.unlink()


def _copy_sqlite(database: Path, draft: Path) -> None:
    """Copy in one step: it reads one state of the database, and no writer waits for it."""
    try:
        with (
            closing(
                sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)
            ) as source,
            closing(sqlite3.connect(draft)) as target,
        ):
            source.backup(target)
            target.execute(
                "PRAGMA journal_mode=DELETE"
            )  # one file, without a log beside it
            (found,) = target.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        raise UnavailableError(f"{database}: cannot copy the database: {error}") from error
    if found != "ok":
        raise UnavailableError(f"{database}: the database is damaged: {found}")


def _dump_postgresql(url: URL, draft: Path) -> None:
    """Have pg_dump write its own format. The password is not among its arguments."""
    program = shutil.which("pg_dump")
    if program is None:
        raise UnavailableError(
            "pg_dump is not on this machine: install PostgreSQL's client programs, or back "
            "the database up as you do with your others"
        )
    password = url.query.get("password") or url.password
    public = (
        url.set(drivername="postgresql", password=None)
        .difference_update_query(["password"])
        .render_as_string()
    )
    environ = {**os.environ, **({"PGPASSWORD": str(password)} if password else {})}
    done = subprocess.run(  # noqa: S603 - no shell, a fixed program
        [
            program,
            "--format=custom",
            "--no-password",
            f"--file={draft}",
            f"--dbname={public}",
        ],
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        text=True,
        errors="replace",
    )
    if done.returncode:
        message = " ".join(done.stderr.split())[:_LONGEST_MESSAGE]
        raise UnavailableError(f"pg_dump failed: {message}")
