"""The configuration file, which the operator and the daemon both write.

The operator edits it with any editor; the daemon replaces it as a whole. Neither may lose
the changes of the other. So the daemon exchanges the new file and the old one in one step
and compares the old one with the text it had read only after that. If somebody has saved in
between, their file is put back and the caller starts again from its text.
"""

import errno
import hashlib
import os
import stat
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from rensei_daemon.core.document import Document
from rensei_daemon.disk.atomic_file import (
    storage_errors,
    sync_directory,
    temporaries,
    temporary_file,
)
from rensei_daemon.disk.config_lock import ConfigLock, poll
from rensei_daemon.disk.config_text import content, opened, read_text
from rensei_daemon.disk.syscalls import NO_EXCHANGE, exchange, is_closed_for_writing
from rensei_daemon.errors import RenseiError, SettingsError, StorageError
from rensei_daemon.fast_dataclass import dataclass

Stamp = tuple[int, int, int]
"""Inode, change time in nanoseconds and size; or an error number and zeros."""


class ConcurrentEditError(StorageError):
    """The file was edited at the same moment; apply to the newest text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LockTimeouts:
    """How long to wait for others; short, because the daemon must be able to stop."""

    lock_seconds: float = 2.0
    writer_seconds: float = 1.5


class ConfigFile:
    """Read the configuration file, and replace it without losing anybody's edit.

    A symbolic link is followed and its target is written. Every method blocks: call it
    from a thread.
    """

    def __init__(self, path: Path, *, timeouts: LockTimeouts | None = None) -> None:
        self.path = path
        self.lock = ConfigLock(path)
        self._timeouts = timeouts or LockTimeouts()

    def read(self) -> Document:
        """Return the current text.

        Raises `SettingsError` for a file that is missing, unreadable, not a regular
        file, larger than 16 MiB or not UTF-8. Whether the text is valid TOML is not
        checked here.
        """
        return Document(read_text(self.path))

    def stamp(self) -> Stamp:
        """Return a stamp that differs if the file may have changed; cheap."""
        try:
            found = self.path.stat()
        except OSError as error:
            return (error.errno or 0, 0, 0)
        # Not the modification time: chmod can make a file readable that was not.
        return (found.st_ino, found.st_ctime_ns, found.st_size)

    def is_being_written(self) -> bool:
        """Whether somebody has the file open for writing; False if unknown."""
        try:
            with opened(self.path) as file:
                return not is_closed_for_writing(file)
        except (OSError, SettingsError):
            return False

    def replace(self, before: Document, after: Document) -> None:
        """Replace the text `before` by `after`.

        Owner, mode and extended attributes are kept; the file and its directory are
        flushed. Raises `ConcurrentEditError` if the file no longer contains
        `before` (it then contains the text of the other writer) and `StorageError`
        if the disk fails.
        """
        with storage_errors(self.path):
            target = _resolved(self.path)
        with storage_errors(target), self._locked(), opened(target) as file:
            self._wait_for_writers(file, target)
            if content(file, target) != before.text.encode():
                raise ConcurrentEditError
            with _successor(file, target, after) as temporary:
                self._exchange(temporary, target, before, after)

    def recover(self, *, before: str, after: str) -> None:
        """Clean up what a crash left beside the file, given the digests of an open intent.

        A crash between the exchange and the comparison leaves the old file under a
        temporary name. If its text is not `before`, it is an edit that exists
        nowhere else. Files with other names, and files that are not regular, are
        left alone.
        """
        with storage_errors(self.path), self._locked():
            target = _resolved(self.path)
            today = _digest(target) if target.exists() else ""
            for leftover in temporaries(target):
                is_unknown = _digest(leftover) not in (before, after)
                if is_unknown and today == after:
                    exchange(leftover, target)
                elif is_unknown and today != before and leftover.stat().st_size:
                    # Our own, half written, or an edit: after another
                    # save nobody can tell.
                    _keep_aside(leftover, target)
                    continue
                leftover.unlink()
            sync_directory(target.parent)

    def flush_name(self) -> None:
        """Flush the directory, so that a power cut cannot bring back an older file."""
        with storage_errors(self.path):
            sync_directory(_resolved(self.path).parent)

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
        # What is left over goes in the same flush. Otherwise a later power cut could bring
        # it back, when nothing is known of it any more.
        if self._is_still(temporary, before):
            temporary.unlink()
            sync_directory(target.parent)
            return
        exchange(temporary, target)
        if self._is_still(temporary, after):
            temporary.unlink()
        else:
            # Saved once more in that moment: what came back is kept under another name,
            # since two texts cannot both be the file.
            exchange(temporary, target)
            _keep_aside(temporary, target)
        sync_directory(target.parent)
        raise ConcurrentEditError(
            f"{target} was saved, or is held open for writing by another program"
        )

    def _is_still(self, path: Path, document: Document) -> bool:
        """Whether nobody is writing to the file and it contains this text.

        False also if this cannot be determined: an operator's text may be anything.
        """
        try:
            with opened(path) as file:
                is_closed = is_closed_for_writing(file)
                return is_closed and content(file, path) == document.text.encode()
        except (OSError, RenseiError):
            return False

    def _wait_for_writers(self, file: BinaryIO, path: Path) -> None:
        """Wait until nobody has the file open for writing.

        The kernel grants a read lease only then. The lease is released at once; it
        only answers the question.
        """
        seconds = self._timeouts.writer_seconds
        if not poll(lambda: is_closed_for_writing(file), seconds):
            raise StorageError(
                f"{path} is held open for writing by another program",
                hint=f"close it there; see which: fuser -v {path}",
            )


def _resolved(path: Path) -> Path:
    target = path
    with suppress(RuntimeError):  # Python 3.11 and 3.12, for a loop of links
        target = path.resolve()
    if target.is_symlink():  # Python 3.13, for the same
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    return target


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
    """Write the new text to a file beside the old one, with the old one's attributes."""
    found = os.fstat(file.fileno())
    mode = stat.S_IMODE(found.st_mode)
    writable = mode | stat.S_IWUSR  # until its attributes are set
    with temporary_file(target, document.text.encode(), mode=writable) as temporary:
        # An unprivileged daemon cannot change the owner, but can set a group it
        # belongs to.
        for uid, gid in ((-1, found.st_gid), (found.st_uid, -1)):
            with suppress(PermissionError):
                os.chown(temporary, uid, gid)
        # User attributes before the ACL, which may remove our own right to write.
        for name in sorted(os.listxattr(file.fileno()), reverse=True):
            with suppress(OSError):  # reserved by the file system
                os.setxattr(temporary, name, os.getxattr(file.fileno(), name))
        temporary.chmod(mode)  # changing the owner cleared some bits
        yield temporary
