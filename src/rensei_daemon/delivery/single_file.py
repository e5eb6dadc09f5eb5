"""One file of a session, replaced as a whole."""

import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from rensei_daemon.core.file_content import FileFormat, render
from rensei_daemon.disk.atomic_file import remove_temporaries, replace_file, storage_errors
from rensei_daemon.errors import StorageError


class SingleFile:
    """A file with its mode and group; every method may wait for the disk."""

    is_quick = True
    """In memory it is written in one short step, whatever it holds."""

    def __init__(
        self, path: Path, format_: FileFormat, *, mode: int, gid: int | None
    ) -> None:
        self.path = path
        self._format = format_
        self._mode = mode
        self._gid = gid

    @property
    def flushed(self) -> Path:
        """The directory that is flushed after a replacement."""
        return self.path.parent

    def clean(self) -> None:
        """Remove what a crash left behind; raises `StorageError`."""
        remove_temporaries(self.path)

    def replace(self, values: Mapping[str, str]) -> None:
        """Write these values; raises `StorageError`, and then nothing has changed."""
        data = render(values, self._format)
        self._spare_device()
        replace_file(self.path, data, mode=self._mode, gid=self._gid)

    def _spare_device(self) -> None:
        """Refuse to replace or remove a device: a host needs its /dev/null."""
        with suppress(OSError):
            mode = self.path.lstat().st_mode
            if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
                raise StorageError(
                    f"{self.path}: this is a device",
                    hint="choose a path that the daemon has for itself",
                )

    def found(self, values: Mapping[str, str]) -> dict[str, os.stat_result]:  # noqa: ARG002 - one file holds them all
        """Return `lstat` of the file; raises `OSError`."""
        return {"": self.path.lstat()}

    def holds(self, values: Mapping[str, str]) -> bool:
        """Whether the file has exactly these values."""
        return file_holds(self.path, render(values, self._format))

    def remove(self) -> None:
        """Remove the file; raises `StorageError`."""
        self._spare_device()
        with storage_errors(self.path):
            self.path.unlink(missing_ok=True)


def file_holds(path: Path, data: bytes) -> bool:
    """Whether there is a regular file with exactly this content."""
    try:
        with path.open("rb") as file:
            is_file = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
            return is_file and file.read(len(data) + 1) == data
    except OSError:
        return False
