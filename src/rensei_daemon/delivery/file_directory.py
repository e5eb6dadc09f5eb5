"""A directory with a file for each name of a session, replaced as a whole.

::

    db/                       ours; stays the same, so that it can be mounted
    ├─ ..0123456789ab/        one generation of the files
    │  ├─ password
    │  └─ user
    ├─ ..data ─▶ ..0123456789ab
    ├─ password ─▶ ..data/password
    └─ user ─▶ ..data/user

A new generation is written and flushed beside the old one, and then `..data` is renamed
over: all names change at the same moment, so a reader that keeps `..data` open never mixes
a new user with an old password, as it could if file after file was replaced. Names that
are gone and the old generation are removed after that. Everything is reached from the
opened directory, so nobody can redirect it by a link.
"""

import errno
import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from rensei_daemon.delivery.single_file import file_holds
from rensei_daemon.disk.atomic_file import drop_inherited_acl, storage_errors
from rensei_daemon.errors import StorageError

CURRENT = "..data"
_OWN = ".."
"""How everything begins that no reader opens; no name of a value does."""
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class FileDirectory:
    """A directory whose files have this mode and group."""

    is_quick = False

    def __init__(self, path: Path, *, mode: int, gid: int | None) -> None:
        self.path = path
        self._mode = mode
        self._directory_mode = directory_mode(mode)
        self._gid = gid

    @property
    def flushed(self) -> Path:
        """The directory that is flushed after a replacement."""
        return self.path.parent

    def clean(self) -> None:
        """Do nothing: what a crash left behind goes with the next replacement."""

    def replace(self, values: Mapping[str, str]) -> None:
        """Write these values; raises `StorageError`, and then the old ones are there."""
        with storage_errors(self.path):
            self._make()
            with self._opened() as directory:
                self._require_own(directory)
                self._set_access(directory, self._directory_mode)
                generation = self._write_generation(directory, values)
                os.fsync(directory)  # before anything leads to it
                _link(directory, CURRENT, generation)
                for name in values:
                    if _target(directory, name) != f"{CURRENT}/{name}":
                        _link(directory, name, f"{CURRENT}/{name}")
                os.fsync(directory)  # before the old generation goes
                _remove_except(directory, {generation, CURRENT, *values})

    def _make(self) -> None:
        """Create the directory, in the place of anything that is none."""
        with suppress(FileNotFoundError):
            if stat.S_ISDIR(self.path.lstat().st_mode):
                return
            self.path.unlink()
        self.path.mkdir(mode=0o700)
        parent = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(parent)
        finally:
            os.close(parent)

    @contextmanager
    def _opened(self) -> Iterator[int]:
        directory = os.open(self.path, _OPEN)
        try:
            yield directory
        finally:
            os.close(directory)

    def _require_own(self, directory: int) -> None:
        """Refuse a directory that somebody else uses, and change nothing in it."""
        if os.fstat(directory).st_uid != os.geteuid():
            raise StorageError(
                f"{self.path}: the directory belongs to another user",
                hint=f"remove it, or choose another path: ls -ld {self.path}",
            )
        entries = os.listdir(directory)
        if CURRENT not in entries and any(not e.startswith(_OWN) for e in entries):
            raise StorageError(
                f"{self.path}: the directory holds other files",
                hint="choose a path that the daemon has for itself",
            )

    def _write_generation(self, directory: int, values: Mapping[str, str]) -> str:
        name = f"{_OWN}{secrets.token_hex(6)}"
        os.mkdir(name, 0o700, dir_fd=directory)
        generation = os.open(name, _OPEN, dir_fd=directory)
        try:
            for key, value in values.items():
                self._write(generation, key, value.encode())
            self._set_access(generation, self._directory_mode)
            os.fsync(generation)
        except OSError:
            _remove_generation(directory, name)
            raise
        finally:
            os.close(generation)
        return name

    def _write(self, generation: int, name: str, data: bytes) -> None:
        file = os.open(name, _CREATE, 0o600, dir_fd=generation)
        try:
            self._set_access(file, self._mode)
            left = memoryview(data)
            while left:
                left = left[os.write(file, left) :]
            os.fsync(file)
        finally:
            os.close(file)

    def _set_access(self, opened: int, mode: int) -> None:
        if self._gid is not None:
            os.fchown(opened, -1, self._gid)
        drop_inherited_acl(opened)
        os.fchmod(opened, mode)

    def found(self, values: Mapping[str, str]) -> dict[str, os.stat_result]:
        """Return `lstat` of the directory and of all that is in it; raises `OSError`."""
        parts = ["", CURRENT]
        for name in values:
            parts += (name, f"{CURRENT}/{name}")
        found = {part: (self.path / part).lstat() for part in parts}
        return found | {f"{CURRENT}/": (self.path / CURRENT).stat()}

    def holds(self, values: Mapping[str, str]) -> bool:
        """Whether the directory has exactly these values."""
        try:
            with self._opened() as directory:
                generation = _target(directory, CURRENT)
                names = {file.name for file in (self.path / CURRENT).iterdir()}
                linked = all(_target(directory, n) == f"{CURRENT}/{n}" for n in values)
        except OSError:
            return False
        return (
            "/" not in generation
            and linked
            and names == values.keys()
            and all(file_holds(self.path / n, v.encode()) for n, v in values.items())
        )

    def remove(self) -> None:
        """Remove the files, and the directory unless others use it.

        Raises `StorageError`.
        """
        with storage_errors(self.path):
            try:
                with self._opened() as directory:
                    _remove_except(directory, set())
            except FileNotFoundError:
                return
            with suppress(FileNotFoundError):
                _remove_empty(self.path)


def directory_mode(mode: int) -> int:
    """Return the mode of a directory for files of this mode: readers may list it."""
    readers = mode & 0o044
    return 0o700 | readers | readers >> 2


def _remove_empty(path: Path) -> None:
    try:
        path.rmdir()
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise


def _link(directory: int, name: str, target: str) -> None:
    """Point a name to a target, in one step."""
    temporary = f"{_OWN}{secrets.token_hex(6)}"
    os.symlink(target, temporary, dir_fd=directory)
    try:
        os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
    except OSError:
        os.unlink(temporary, dir_fd=directory)
        raise


def _target(directory: int, name: str) -> str:
    """Return where a link leads; empty for anything else."""
    try:
        return os.readlink(name, dir_fd=directory)
    except OSError:
        return ""


def _remove_except(directory: int, kept: set[str]) -> None:
    """Remove what is ours: links to the generation, and everything named `..…`."""
    for name in sorted(set(os.listdir(directory)) - kept):
        if _target(directory, name).startswith((f"{CURRENT}/", _OWN)):
            os.unlink(name, dir_fd=directory)
        elif name.startswith(_OWN):
            _remove_generation(directory, name)


def _remove_generation(directory: int, name: str) -> None:
    generation = os.open(name, _OPEN, dir_fd=directory)
    try:
        for entry in os.listdir(generation):  # noqa: PTH208 - of a descriptor
            os.unlink(entry, dir_fd=generation)
    finally:
        os.close(generation)
    os.rmdir(name, dir_fd=directory)
