"""A log file of limited size: `log.jsonl`, with two predecessors of it.

`log.jsonl.1` came before it, `log.jsonl.2` before that. Rotation renames the files, so a
reader can finish the one it has open. A file that another program, such as logrotate, has
renamed or removed is written no further: compressed and removed, it would take the lines
with it. What is no file, such as `/dev/stdout` in a container, has no size and stays where
it is.
"""

import os
import stat
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

from rensei_daemon.locations import LOG_FILES, log_files

MAX_BYTES = 10 * 1000 * 1000


def growth(path: Path) -> int:
    """Return by how many bytes an existing log and its predecessors may still grow."""
    if not path.exists():
        return 0
    sizes = (file.stat().st_size for file in log_files(path) if file.exists())
    return max(0, LOG_FILES * MAX_BYTES - sum(sizes))


class RotatingFile:
    """Appends whole lines; opened at the first one, and written by one thread."""

    def __init__(
        self, path: Path, *, max_bytes: int = MAX_BYTES, files: int = LOG_FILES
    ) -> None:
        self._path = path
        self._files = files
        self._max_bytes = max_bytes
        self._descriptor: int | None = None
        self._size = 0
        self._is_file = True
        self._is_torn = False
        """Whether the last line is incomplete, after a full disk or a crash."""

    def write(self, line: bytes) -> None:
        """Append one line with its line break; raises `OSError`."""
        if self._descriptor is None:
            self._descriptor = self._open()
        elif self._is_file:
            self._descriptor = self._followed(self._descriptor)
        is_full = self._size and self._size + len(line) > self._max_bytes
        if is_full and self._is_file:
            self._descriptor = self._rotate()
        text = b"\n" + line if self._is_torn else line
        self._is_torn = True
        written = os.write(self._descriptor, text)
        self._size += written
        if written < len(text):
            raise OSError("the line was cut short")
        self._is_torn = False

    def close(self) -> None:
        """Close the file; the next line opens it again."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _followed(self, descriptor: int) -> int:
        """Return the file at the path now; the one that is open if it cannot be had."""
        ours = os.fstat(descriptor)
        self._size = ours.st_size  # another program may have made it shorter
        with suppress(OSError):
            if os.path.samestat(ours, os.stat(self._path)):  # noqa: PTH116 - for every line
                return descriptor
        with suppress(OSError):
            newer = self._open()
            os.close(descriptor)
            return newer
        return descriptor

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        descriptor = os.open(self._path, flags, 0o600)
        found = os.fstat(descriptor)
        self._is_file, self._size = stat.S_ISREG(found.st_mode), found.st_size
        self._is_torn = self._size > 0 and (
            os.pread(descriptor, 1, self._size - 1) != b"\n"
        )
        return descriptor

    def _rotate(self) -> int:
        self.close()
        family = log_files(self._path, self._files)
        for newer, older in reversed(list(pairwise(family))):
            if newer.exists():
                newer.replace(older)
        return self._open()
