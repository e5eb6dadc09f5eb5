"""A directory: one file a field, such as a mounted secret of Kubernetes.

Links inside the directory are followed, links that lead out of it are refused. The resolved
path is opened part by part without following any link, so that a link that is put there in
between is refused too.
"""

import os
import stat
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import anyio.to_thread

from rensei_platform.errors import SettingsError
from rensei_platform.providers.base import (
    BadAnswerError,
    Location,
    ProviderDeniedError,
    ProviderUnavailableError,
    Resolved,
    SecretNotFoundError,
)
from rensei_platform.providers.fields import MOST_NAMES, is_variable, select
from rensei_platform.providers.options import AbsolutePath, Limits, Options, parse_options

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
MOST_READING = 16
"""At once: more of them hang, and each would hold one more thread for ever."""
MOST_ENTRIES = 10 * MOST_NAMES


class FileOptions(Options):
    """Keys of a `[providers.NAME]` table with `type = "file"`."""

    directory: AbsolutePath


class FileProvider:
    """Reads files below one directory."""

    def __init__(self, options: Mapping[str, object], limits: Limits) -> None:
        """Raise SettingsError if an option is wrong or the directory is not there."""
        self._root = parse_options(FileOptions, options).directory
        self._most_bytes = limits.most_bytes
        self._reading, self._lock = 0, threading.Lock()
        """Threads that read, those included for which nobody waits any more."""
        if not self._root.is_dir():
            raise SettingsError(f"directory: {self._root}: not a directory")

    async def resolve(self, location: Location) -> Resolved:
        """Return the files' text, each without one line end at its end."""
        if self._reading >= MOST_READING:
            raise ProviderUnavailableError(
                "the file system does not answer", hint="See the mount of `directory`."
            )
        # A hanging network file system holds the thread, not the caller.
        fields = await anyio.to_thread.run_sync(
            self._counted,
            location.path,
            tuple(location.names.values()),
            abandon_on_cancel=True,
        )
        return Resolved(select(fields, location.names))

    def _counted(self, path: tuple[str, ...], wanted: tuple[str, ...]) -> dict[str, str]:
        with self._lock:
            self._reading += 1
        try:
            return self._read(path, wanted)
        finally:
            with self._lock:
                self._reading -= 1

    def _read(self, path: tuple[str, ...], wanted: tuple[str, ...]) -> dict[str, str]:
        directory = self._root.joinpath(*path)
        fields, left = {}, self._most_bytes
        with _translated():
            for name in wanted or _names_in(self._resolved(directory)):
                if "/" in name or name in {".", ".."}:
                    raise SecretNotFoundError(f"{name!r} is not the name of a file")
                octets = _contents(
                    self._root.resolve(), self._resolved(directory / name), left
                )
                left -= len(octets)
                fields[name] = _text(name, octets)
        return fields

    def _resolved(self, path: Path) -> Path:
        """Return the path without links. Raise ProviderDeniedError if it leads out."""
        root = self._root.resolve()
        resolved = path.resolve(strict=True)
        if not resolved.is_relative_to(root):
            raise ProviderDeniedError("a symbolic link leads out of the directory")
        return resolved


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise SecretNotFoundError("there is no such file") from None
    except (NotADirectoryError, PermissionError) as error:
        raise ProviderDeniedError(f"the file cannot be opened: {error.strerror}") from None
    except RuntimeError:  # pathlib's, before Python 3.13
        raise ProviderDeniedError("the file cannot be opened: a loop of links") from None
    except OSError as error:
        raise ProviderUnavailableError(
            f"the file cannot be read: {error.strerror}"
        ) from None


def _names_in(directory: Path) -> list[str]:
    """Return the names of files that can be variables; others are not secrets."""
    names = []
    with os.scandir(directory) as entries:
        for count, entry in enumerate(entries):
            if count >= MOST_ENTRIES:
                raise BadAnswerError(f"the directory has more than {MOST_ENTRIES} entries")
            if is_variable(entry.name) and entry.is_file():
                names.append(entry.name)
    return sorted(names)


def _contents(root: Path, path: Path, most: int) -> bytes:
    """Read a file by its path below `root`, following no link on the way."""
    descriptor = _opened(root, path.relative_to(root).parts)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ProviderDeniedError(f"{path.name!r} is not a regular file")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            octets = file.read(most + 1)
    finally:
        os.close(descriptor)
    if len(octets) > most:
        raise BadAnswerError("the files are larger than `most_bytes`")
    if not octets:  # as between the truncation and the write of who writes it in place
        raise ProviderUnavailableError(
            f"the file {path.name!r} is empty",
            hint="If the value is to be empty, write one line end into the file.",
        )
    return octets


def _opened(root: Path, parts: tuple[str, ...]) -> int:
    held = os.open(root, _DIRECTORY)
    for number, part in enumerate(parts, 1):
        try:
            inner = os.open(
                part, _FILE if number == len(parts) else _DIRECTORY, dir_fd=held
            )
        finally:
            os.close(held)
        held = inner
    return held


def _text(name: str, octets: bytes) -> str:
    try:
        text = octets.decode()
    except UnicodeDecodeError:
        raise BadAnswerError(f"the file {name!r} is not UTF-8") from None
    return text.removesuffix("\r\n") if text.endswith("\r\n") else text.removesuffix("\n")
