"""A file of a session, or a directory of files, for workers that read it when they start.

Other processes can alter it. So it is checked, first by `lstat`, and by its content if that
differs. It is written only when its own values have changed, so that nobody who watches it
is woken by the rotation of another name.
"""

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import anyio.to_thread

from rensei_daemon.core.credential import Credentials, Difference
from rensei_daemon.core.file_content import FileContent, FileFormat, read
from rensei_daemon.core.health import ConsumerHealth, Proof
from rensei_daemon.delivery.delivery_protocol import ignore_uptake
from rensei_daemon.delivery.file_directory import FileDirectory
from rensei_daemon.delivery.hook_record import HookRecord
from rensei_daemon.delivery.single_file import SingleFile
from rensei_daemon.disk.directories import is_tmpfs
from rensei_daemon.errors import DeliveryError, StorageError
from rensei_daemon.fast_dataclass import dataclass, replace

Values = Mapping[str, str]


class _Target(Protocol):
    """Where values are written: a file, or a directory of files."""

    @property
    def is_quick(self) -> bool: ...
    @property
    def flushed(self) -> Path: ...
    def clean(self) -> None: ...
    def replace(self, values: Values) -> None: ...
    def found(self, values: Values) -> dict[str, os.stat_result]: ...
    def holds(self, values: Values) -> bool: ...
    def remove(self) -> None: ...


class FileDelivery:
    """Replaces the file as a whole by each generation, with its mode and group."""

    after = None
    retries = None
    splay_seconds = 0.0

    def __init__(
        self,
        path: Path,
        content: FileContent = FileContent(),  # noqa: B008 - immutable
        *,
        mode: int,
        gid: int | None,
        hook_record: HookRecord | None = None,
    ) -> None:
        """`hook_record` belongs to the hook that runs after this file."""
        self.on_uptake: Callable[[], None] = ignore_uptake
        self.kind = content.format.consumer_kind
        self._path = path
        self._content = content
        self._target: _Target = (
            FileDirectory(path, mode=mode, gid=gid)
            if content.format is FileFormat.DIR
            else SingleFile(path, content.format, mode=mode, gid=gid)
        )
        self._hook_record = hook_record
        self._is_in_memory = False
        self._written: Values | None = None
        """What the file has; None if that is not certain."""
        self._last_access: dict[str, _Access] = {}
        """Type, mode and owner of every part after the last write."""
        self._seen: list[tuple[int, ...]] = []
        """What `lstat` said when the content was last compared."""
        proof = Proof.UNKNOWN if hook_record is None else Proof.NOTHING
        self._line = ConsumerHealth(kind=self.kind, name=str(path), proof=proof)

    @property
    def name(self) -> str:
        """The path of the file."""
        return str(self._path)

    @property
    def consumers(self) -> tuple[ConsumerHealth, ...]:
        """The file itself."""
        return (self._line,)

    @property
    def takes_turns(self) -> bool:
        """Whether the file is in memory, where it is replaced without a thread."""
        return self._is_in_memory

    def deliver_at_once(self, credentials: Credentials) -> bool | None:
        """Replace a file in memory, without a thread, which would take far longer."""
        had = self._line.generation
        if not self._is_in_memory or had is None or had == credentials.generation:
            return None
        try:
            is_news = self._write(credentials, False)
        except DeliveryError:
            return None
        self._note(credentials)
        return is_news

    async def deliver(self, credentials: Credentials, difference: Difference) -> bool:  # noqa: ARG002 - always written whole
        """Replace the file; raises `DeliveryError`, and then the old file is unchanged.

        A file with the same content, left by an earlier daemon, is not a change,
        unless the hook has not run for it.
        """
        is_first = self._line.generation is None
        is_news = await anyio.to_thread.run_sync(self._write, credentials, is_first)
        self._note(credentials)
        return is_news

    def _note(self, credentials: Credentials) -> None:
        self._line = replace(self._line, generation=credentials.generation)
        self.on_uptake()

    def _write(self, credentials: Credentials, is_first: bool) -> bool:
        values = self._values(credentials)
        is_repair = credentials.generation == self._line.generation
        is_news = (
            not self._is_known(credentials, values) if is_first else values != self._written
        )
        if not (is_first or is_news or is_repair):
            return False
        with _delivery_errors():
            if is_first:
                self._target.clean()
                self._is_in_memory = self._target.is_quick and self._is_flushed_in_memory()
            self._written = None
            self._target.replace(values)
            self._last_access = self._access(values)
            if is_news and not is_repair and self._hook_record is not None:
                self._hook_record.remove()
            self._written = values
        return is_news

    def _values(self, credentials: Credentials) -> Values:
        try:
            return self._content.values(credentials.env)
        except DeliveryError as error:
            raise DeliveryError(f"{self._path}: {error}", hint=error.hint) from None

    def _is_flushed_in_memory(self) -> bool:
        """Whether no directory to flush is on a disk."""
        record = self._hook_record
        directories = [self._target.flushed, *([record.directory] if record else [])]
        return all(map(is_tmpfs, directories))

    def _access(self, values: Values) -> "dict[str, _Access]":
        try:
            found = self._target.found(values)
        except OSError:  # removed at once; the next check notices
            return {}
        return {part: _Access.of(status) for part, status in found.items()}

    def _is_known(self, credentials: Credentials, values: Values) -> bool:
        record = self._hook_record
        is_due = record is not None and not record.holds(credentials)
        return not is_due and self._target.holds(values)

    def confirm(self, credentials: Credentials) -> None:
        """Do nothing: the file is written in any case."""

    async def check(self, credentials: Credentials) -> str:
        """Return how the file was removed or altered; cheap if it was not."""
        if self._is_in_memory:
            return self._check(credentials)
        return await anyio.to_thread.run_sync(
            self._check, credentials, abandon_on_cancel=True
        )

    def _check(self, credentials: Credentials) -> str:
        values = self._values(credentials)
        try:
            found = self._target.found(values)
        except FileNotFoundError:
            return "was removed"
        except OSError as error:
            return f"cannot be seen ({error.strerror})"
        identities = [_identity(status) for status in found.values()]
        if identities == self._seen:
            return ""
        for part, access in self._last_access.items():
            if part in found and (wrong := access.differs(found[part])):
                return wrong
        if not self._target.holds(values):
            return "was changed"
        self._seen = identities
        return ""

    async def withdraw(self) -> None:
        """Remove the file; raises `DeliveryError` if that fails."""
        await anyio.to_thread.run_sync(self._remove)

    def _remove(self) -> None:
        with _delivery_errors():
            self._target.remove()


@contextmanager
def _delivery_errors() -> Iterator[None]:
    try:
        yield
    except StorageError as error:
        raise DeliveryError(str(error), hint=error.hint) from None


@dataclass(frozen=True, slots=True)
class _Access:
    """Type, mode and owner of a file."""

    kind: int
    mode: int
    uid: int
    gid: int

    @classmethod
    def of(cls, found: os.stat_result) -> "_Access":
        mode = found.st_mode
        return cls(stat.S_IFMT(mode), stat.S_IMODE(mode), found.st_uid, found.st_gid)

    def differs(self, found: os.stat_result) -> str:
        """Return how the access to a file differs; empty if it does not."""
        now = _Access.of(found)
        if now.kind != self.kind:
            return "was replaced by something that is no file"
        if now.mode != self.mode:
            return f"was given mode {now.mode:04o} in place of {self.mode:04o}"
        if (now.uid, now.gid) != (self.uid, self.gid):
            return f"was given to user {now.uid}, group {now.gid}"
        return ""


def _identity(found: os.stat_result) -> tuple[int, ...]:
    """Return values of `lstat` that change with every change of a file."""
    return (
        found.st_dev,
        found.st_ino,
        found.st_size,
        found.st_mtime_ns,
        found.st_ctime_ns,
    )


def read_values(path: Path, format_: FileFormat) -> dict[str, str]:
    """Return the values of a file that was delivered; raises `OSError`."""
    if format_ is not FileFormat.DIR:
        return read(path.read_text(errors="surrogateescape"), format_)
    return {
        file.name: file.read_text(errors="surrogateescape")
        for file in path.iterdir()
        if not file.name.startswith("..") and file.is_file()
    }
