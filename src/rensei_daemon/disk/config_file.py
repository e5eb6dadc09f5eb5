"""The configuration file: one file, two authors.

The operator edits it with whatever they like; the daemon replaces it whole. Neither may
lose the other's work. The replace is therefore an exchange: new and old text swap places
in one step, and only then is the old one compared with what was read. If a person has
saved in between, their text goes back where it was and the caller starts over from it.
"""

import errno
import hashlib
import os
import stat
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from rensei_daemon.core.document import Document
from rensei_daemon.core.length_limits import MAX_CONFIG_BYTES
from rensei_daemon.disk.atomic_file import (
    storage_errors,
    sync_directory,
    temporaries,
    temporary_file,
)
from rensei_daemon.disk.config_lock import ConfigLock
from rensei_daemon.disk.permissions import explain_unreadable
from rensei_daemon.disk.syscalls import NO_EXCHANGE, exchange, is_closed_for_writing
from rensei_daemon.errors import RenseiError, SettingsError, StorageError

_POLL_SECONDS = 0.02

Stamp = tuple[int, int, int]
"""Inode, time of its last change in nanoseconds, size; or an error number and zeros."""


class ConcurrentEditError(StorageError):
    """The file was edited at the same moment; apply to the newest text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LockTimeouts:
    """How long others may hold us up; short, because a daemon must be able to stop."""

    lock_seconds: float = 2.0
    writer_seconds: float = 1.5


class ConfigFile:
    """Reads the file, and replaces it without losing anybody's edit.

    A symlink is followed, and its target written. Every method blocks: call it from a
    thread.
    """

    def __init__(self, path: Path, *, timeouts: LockTimeouts | None = None) -> None:
        self.path = path
        self.lock = ConfigLock(path)
        self._timeouts = timeouts or LockTimeouts()

    def read(self) -> Document:
        """Return today's text.

        Raises `SettingsError` for a file that is missing, unreadable, not a regular file,
        larger than 16 MiB or not UTF-8. Whether it is valid TOML is not asked here.
        """
        try:
            with _opened(self.path) as file:
                data = _content(file, self.path)
        except FileNotFoundError as error:
            hint = "write one: rensei-daemon install, or copy config.example.toml there"
            raise SettingsError(f"{self.path}: there is no such file", hint=hint) from error
        except OSError as error:
            found = explain_unreadable(self.path, error)
            raise SettingsError(found.what, hint=found.fix) from error
        return Document(_decoded(data, self.path))

    def stamp(self) -> Stamp:
        """Tell cheaply whether the file may have changed since an earlier stamp."""
        try:
            found = self.path.stat()
        except OSError as error:
            return (error.errno or 0, 0, 0)
        # Not the time of modification: a chmod can make a file readable that was not.
        return (found.st_ino, found.st_ctime_ns, found.st_size)

    def is_being_written(self) -> bool:
        """Whether somebody has the file open for writing; no, where that cannot be told."""
        try:
            with _opened(self.path) as file:
                return not is_closed_for_writing(file)
        except (OSError, SettingsError):
            return False

    def replace(self, before: Document, after: Document) -> None:
        """Put `after` where `before` stands.

        Owner, mode and extended attributes are carried over; the file and its directory
        are flushed. Raises `ConcurrentEditError` when the file is no longer `before`
        (it then holds the person's text), `StorageError` when the disk says no.
        """
        with storage_errors(self.path):
            target = _resolved(self.path)
        with storage_errors(target), self._locked(), _opened(target) as file:
            self._wait_for_writers(file, target)
            if _content(file, target) != before.text.encode():
                raise ConcurrentEditError
            with _successor(file, target, after) as temporary:
                self._exchange(temporary, target, before, after)

    def recover(self, *, before: str, after: str) -> None:
        """Settle what a crash left beside the file, given a standing intent's digests.

        A crash between the exchange and the comparison leaves the old file under a
        temporary name. If that is not `before`, it is an edit that nobody else has.
        Files that are not named as ours are, or are no regular files, are left alone.
        """
        with storage_errors(self.path), self._locked():
            target = _resolved(self.path)
            today = _digest(target) if target.exists() else ""
            for leftover in temporaries(target):
                is_unknown = _digest(leftover) not in (before, after)
                if is_unknown and today == after:
                    exchange(leftover, target)
                elif is_unknown and today != before and leftover.stat().st_size:
                    # Ours, half written, or an edit: nobody can tell after yet another.
                    _keep_aside(leftover, target)
                    continue
                leftover.unlink()
            sync_directory(target.parent)

    def _locked(self) -> AbstractContextManager[None]:
        return self.lock.held(within_seconds=self._timeouts.lock_seconds)

    def _exchange(
        self, temporary: Path, target: Path, before: Document, after: Document
    ) -> None:
        try:
            exchange(temporary, target)
        except OSError as error:
            if error.errno == errno.EBUSY:
                raise _mount_point(target) from error
            if error.errno not in NO_EXCHANGE:
                raise
            # The file was compared a moment ago; here that moment is all the care there is.
            temporary.replace(target)
            sync_directory(target.parent)
            return
        # While ours stands there, a person may save again, onto ours; so it must not stand
        # there for longer than one look at what came back, and nothing is waited for.
        if self._is_still(temporary, before):
            sync_directory(target.parent)
            return
        exchange(temporary, target)
        if not self._is_still(temporary, after):
            # Saved once more in that moment: what came back is kept under another name,
            # since two texts cannot both be the file.
            exchange(temporary, target)
            _keep_aside(temporary, target)
        sync_directory(target.parent)
        raise ConcurrentEditError(
            f"{target} was saved, or is held open for writing by another program"
        )

    def _is_still(self, path: Path, document: Document) -> bool:
        """Whether nobody writes to the file, and it holds this text.

        No is also said when it cannot be told: a person's text may be anything.
        """
        try:
            with _opened(path) as file:
                is_closed = is_closed_for_writing(file)
                return is_closed and _content(file, path) == document.text.encode()
        except (OSError, RenseiError):
            return False

    def _wait_for_writers(self, file: BinaryIO, path: Path) -> None:
        """Wait until nobody has the file open for writing.

        The kernel grants a read lease exactly then. It is given back at once: it is a
        question, not a claim.
        """
        deadline = time.monotonic() + self._timeouts.writer_seconds
        while not is_closed_for_writing(file):
            if time.monotonic() > deadline:
                raise StorageError(
                    f"{path} is held open for writing by another program",
                    hint=f"close it there; see which: fuser -v {path}",
                )
            time.sleep(_POLL_SECONDS)


def _resolved(path: Path) -> Path:
    target = path
    with suppress(RuntimeError):  # what Python 3.11 and 3.12 make of a loop of links
        target = path.resolve()
    if target.is_symlink():  # what is left of it in 3.13
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    return target


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    # Non-blocking, because opening a FIFO would otherwise wait for its writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        hint = f"look at it: ls -ld {path}"
        raise SettingsError(f"{path}: not a regular file", hint=hint)
    with os.fdopen(descriptor, "rb") as file:
        yield file


def _content(file: BinaryIO, path: Path) -> bytes:
    file.seek(0)
    data = file.read(MAX_CONFIG_BYTES + 1)
    if len(data) > MAX_CONFIG_BYTES:
        raise SettingsError(f"{path}: larger than {MAX_CONFIG_BYTES // 2**20} MiB")
    return data


def _decoded(data: bytes, path: Path) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        message = f"{path}:{line}:{column}: not UTF-8"
        raise SettingsError(message, hint="save the file as UTF-8") from error


def _mount_point(path: Path) -> StorageError:
    return StorageError(
        f"{path} is mounted by itself, as a single file, and so cannot be replaced",
        hint=f"mount its directory instead; see: findmnt {path}",
    )


def _keep_aside(text: Path, target: Path) -> None:
    text.rename(f"{target}.edited-{time.time_ns()}")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextmanager
def _successor(file: BinaryIO, target: Path, document: Document) -> Iterator[Path]:
    """Lay the new text beside the file, with all that is not text taken from it."""
    found = os.fstat(file.fileno())
    mode = stat.S_IMODE(found.st_mode)
    writable = mode | stat.S_IWUSR  # until it has its attributes
    with temporary_file(target, document.text.encode(), mode=writable) as temporary:
        # An unprivileged daemon cannot give a file away, but to a group of its own it can.
        for uid, gid in ((-1, found.st_gid), (found.st_uid, -1)):
            with suppress(PermissionError):
                os.chown(temporary, uid, gid)
        # The user's before an ACL, which may take away our own right to write.
        for name in sorted(os.listxattr(file.fileno()), reverse=True):
            with suppress(OSError):  # one the file system keeps to itself
                os.setxattr(temporary, name, os.getxattr(file.fileno(), name))
        temporary.chmod(mode)  # a change of owner has cleared some bits
        yield temporary
