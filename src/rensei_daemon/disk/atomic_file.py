"""Replace a file so that a reader sees either the old content or the new one."""

import errno
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rensei_daemon.errors import StorageError


def replace_file(path: Path, data: bytes, *, mode: int, gid: int | None = None) -> None:
    """Write `data` to `path` in one step, with its mode and group set beforehand.

    Writes and flushes a temporary file beside the target, renames it over the target
    and flushes the directory. Raises `StorageError`; the target is then unchanged.
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
    """Yield a flushed temporary file beside `path`; remove it if it is left at the end."""
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
    """Remove permissions that a default ACL of the directory added to the mode.

    Set the mode after this call: it restores what the ACL took from the group.
    """
    with suppress(OSError):  # no ACL, or a file system without them
        os.removexattr(file, "system.posix_acl_access")


def sync_directory(path: Path) -> None:
    """Flush the directory, so that its entries are durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def temporaries(path: Path) -> list[Path]:
    """Return the temporary files that a crash left beside `path`."""
    named = re.compile(re.escape(f".{path.name}.") + r"[0-9a-f]{12}\.tmp")
    found = path.parent.glob(f".{path.name}.*.tmp")
    return [
        p for p in found if named.fullmatch(p.name) and p.is_file() and not p.is_symlink()
    ]


def remove_temporaries(path: Path) -> None:
    """Remove the temporary files that a crash left beside `path`."""
    with storage_errors(path):
        for leftover in temporaries(path):
            leftover.unlink(missing_ok=True)


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Translate an OSError into `StorageError`: what failed, where, how to fix it."""
    try:
        yield
    except OSError as error:
        # Name `path`, not the file of the error: that may be a temporary file
        # with a new name each time.
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
        case errno.ENOENT if not path.parent.is_dir():
            from shlex import quote  # most files can be written

            return f"make its directory: mkdir -p {quote(str(path.parent))}"
        case errno.EIO:
            return "the disk reports an I/O error: see dmesg"
        case _:
            return f"look at it: ls -ld {path.parent} {path}"
