"""Replacing a file so that a reader sees the old one or the new one, whole."""

import errno
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rensei_daemon.errors import StorageError


def replace_file(path: Path, data: bytes, *, mode: int, gid: int | None = None) -> None:
    """Write `data` to `path` in one step, with its mode and group set before it appears.

    A temporary file beside the target is written and flushed, renamed over it, and the
    directory flushed. Raises `StorageError`; the target is then what it was.
    """
    with storage_errors(path):
        temporary = _lay(path, data, mode=mode, gid=gid, uid=None)
        try:
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        sync_directory(path.parent)


@contextmanager
def temporary_file(
    path: Path, data: bytes, *, mode: int, gid: int | None = None, uid: int | None = None
) -> Iterator[Path]:
    """Lay a flushed file beside `path`; what is left of it at the end is removed."""
    temporary = _lay(path, data, mode=mode, gid=gid, uid=uid)
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def _lay(path: Path, data: bytes, *, mode: int, gid: int | None, uid: int | None) -> Path:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, 0o600)
    try:
        if gid is not None or uid is not None:
            os.fchown(descriptor, -1 if uid is None else uid, -1 if gid is None else gid)
        drop_inherited_acl(descriptor)
        os.fchmod(descriptor, mode)
        left = memoryview(data)
        while left:
            left = left[os.write(descriptor, left) :]
        os.fsync(descriptor)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    return temporary


def drop_inherited_acl(file: int | Path) -> None:
    """Take back what a directory's default ACL granted to others beside the mode.

    Set the mode after it: what the ACL kept from the group is given back so.
    """
    with suppress(OSError):  # none there, or a file system without
        os.removexattr(file, "system.posix_acl_access")


def sync_directory(path: Path) -> None:
    """Make the directory's entries durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def temporaries(path: Path) -> list[Path]:
    """Return what a crash left beside `path` of files meant to become it."""
    named = re.compile(re.escape(f".{path.name}.") + r"[0-9a-f]{12}\.tmp")
    found = path.parent.glob(f".{path.name}.*.tmp")
    return [
        p for p in found if named.fullmatch(p.name) and p.is_file() and not p.is_symlink()
    ]


def remove_temporaries(path: Path) -> None:
    """Remove what a crash left beside `path` of files meant to become it."""
    with storage_errors(path):
        for leftover in temporaries(path):
            leftover.unlink(missing_ok=True)


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Say what the system refused, about which file, and what would fix it."""
    try:
        yield
    except OSError as error:
        # Not the file the error names: that may be a temporary one, new at every try.
        message = f"{path}: {error.strerror or type(error).__name__}"
        raise StorageError(message, hint=_remedy(error, path)) from error


def _remedy(error: OSError, path: Path) -> str:
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return f"make room: df -h {path.parent}; df -i {path.parent}"
        case errno.EROFS:
            return f"mount it writable: findmnt --target {path.parent}"
        case errno.EACCES | errno.EPERM:
            return f"let the daemon's user write there: ls -ld {path.parent} {path}"
        case errno.EIO:
            return "the disk reports an I/O error: see dmesg"
        case _:
            return f"look at it: ls -ld {path.parent} {path}"
