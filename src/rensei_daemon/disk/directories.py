"""The daemon's two directories, and the lock that reserves them for one daemon."""

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from rensei_daemon.disk.atomic_file import storage_errors
from rensei_daemon.disk.processes import lock_holder
from rensei_daemon.errors import StateInUseError, StorageError

STATE_MODE = 0o700
RUNTIME_MODE = 0o711
"""Others may pass through to a file they may open; each file has its own mode."""

_OF_THE_HOST = frozenset(
    Path("/", *parts.split("/"))
    for parts in (
        *("", "boot", "dev", "etc", "home", "mnt", "opt", "root", "run", "srv", "usr"),
        *("usr/local", "var", "var/cache", "var/lib", "var/log", "var/spool"),
        *("dev/mqueue", "dev/shm", "run/lock", "run/user", "tmp", "var/tmp"),
    )
)
"""Directories that are never those of one program."""


def prepare_directory(path: Path, *, mode: int) -> None:
    """Create the directory, or set the mode of an existing one; raises `StorageError`.

    One that others use is left as it is: without `/tmp`, say, nobody could work.
    """
    with storage_errors(path):
        path.mkdir(mode=mode, parents=True, exist_ok=True)
        found = path.stat()
        if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) == mode:
            return
        if is_of_others(path, found.st_mode):
            raise StorageError(
                f"{path}: other programs use this directory, too",
                hint="name one that the daemon has for itself",
            )
        path.chmod(mode)


def is_of_others(path: Path, mode: int) -> bool:
    """Whether other programs use a directory that has this mode.

    A file system in memory has the mode of `/tmp` too, unless another was asked for.
    """
    if path.resolve() in _OF_THE_HOST:
        return True
    return bool(mode & stat.S_ISVTX) and not (path.is_mount() and not any(path.iterdir()))


@contextmanager
def state_lock(path: Path) -> Iterator[None]:
    """Hold the state directory; raises `StateInUseError` if another daemon holds it.

    Two locks are taken: on the directory, which needs no space on a disk that may be
    full or read-only, and on a file in it, which shows others who holds it. The kernel
    releases both when the process ends, however it ends.
    """
    with ExitStack() as held:
        with storage_errors(path):
            directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            held.callback(os.close, directory)
            file = _lock_file(path)
        if file is not None:
            held.callback(os.close, file)
        try:
            for descriptor in filter(None, (directory, file)):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # Not what the file says: the holder could not write it on a full disk.
            holder = lock_holder(path) or lock_holder(path.parent)
            raise StateInUseError(
                f"another rensei-daemon{f' (pid {holder})' if holder else ''} "
                f"holds {path.parent}",
                hint="stop it first, or give this one its own [paths]",
            ) from None
        if file is not None:
            with suppress(
                OSError
            ):  # the pid is only information; the lock is held without it
                os.ftruncate(file, 0)
                os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
        yield


def _lock_file(path: Path) -> int | None:
    """Open the lock file and create it if needed; None if the disk takes no new file."""
    flags = os.O_NOFOLLOW | os.O_CLOEXEC
    for how in (os.O_RDWR | os.O_CREAT, os.O_RDONLY):
        try:
            return os.open(path, flags | how, 0o600)
        except OSError as error:
            if error.errno not in (errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOENT):
                raise
    return None


Entry = tuple[int | str, ...]


def directory_entry(path: Path) -> Entry:
    """Return a value that identifies a directory entry, however its path is spelled.

    The directory itself is looked up, so links and bind mounts give the same value. Two
    names of one inode are two entries: the daemon replaces a name, not an inode.
    """
    try:
        parent = path.parent.stat()
    except OSError:
        return os.path.realpath(path.parent), path.name
    return parent.st_dev, parent.st_ino, path.name


def is_tmpfs(path: Path) -> bool:
    """Whether the directory is in memory, according to /proc/mounts."""
    longest, kind = "", ""
    resolved = f"{path.resolve()}/"
    for line in Path("/proc/mounts").read_text().splitlines():
        _, mount, file_system, *_ = line.split(" ")
        prefix = mount.rstrip("/") + "/"
        if resolved.startswith(prefix) and len(prefix) >= len(longest):
            longest, kind = prefix, file_system
    return kind in ("tmpfs", "ramfs")
