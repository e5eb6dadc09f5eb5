"""What a file system can do, tested or looked up; for the doctor."""

import os
import re
import tempfile
from pathlib import Path

from rensei_daemon.disk.syscalls import NO_EXCHANGE, exchange
from rensei_daemon.fast_dataclass import dataclass

_OCTAL = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class DiskSpace:
    """The space and inodes that a file system has left for an unprivileged user."""

    device: int
    """The same for every directory of a file system."""
    free_bytes: int
    free_inodes: int | None
    """None if the file system does not count inodes."""
    is_read_only: bool


def disk_space(path: Path) -> DiskSpace:
    """Return the space left for a path, which need not exist; raises `OSError`."""
    while not path.exists() and path != path.parent:
        path = path.parent
    found = os.statvfs(path)
    return DiskSpace(
        device=path.stat().st_dev,
        free_bytes=found.f_bavail * found.f_frsize,
        free_inodes=found.f_favail if found.f_files else None,
        is_read_only=bool(found.f_flag & os.ST_RDONLY),
    )


def can_exchange(directory: Path) -> bool:
    """Test whether two files of a directory can exchange their names in one step.

    Raises `OSError` if no file can be created there.
    """
    with tempfile.TemporaryDirectory(dir=directory, prefix=".rensei-doctor.") as scratch:
        one, other = Path(scratch, "one"), Path(scratch, "other")
        one.touch()
        other.touch()
        try:
            exchange(one, other)
        except OSError as error:
            if error.errno in NO_EXCHANGE:
                return False
            raise
    return True


def is_mount_point(path: Path) -> bool:
    """Whether a single file is a mount point; False without /proc."""
    try:
        mounts = Path("/proc/self/mountinfo").read_text(errors="surrogateescape")
    except OSError:
        return False
    points = (line.split(" ")[4] for line in mounts.splitlines())
    return str(path) in map(_unescaped, points)


def _unescaped(mount_point: str) -> str:
    return _OCTAL.sub(lambda octal: chr(int(octal[1], 8)), mount_point)
