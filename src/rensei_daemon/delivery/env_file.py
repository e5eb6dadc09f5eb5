"""The env file: a session's values for workers that read them when they start.

Other processes can alter the file. So it is checked, first by `lstat`, and by its content
if that differs.
"""

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio.to_thread

from rensei_daemon.core.credential import Credentials, Difference
from rensei_daemon.core.env_file import render_env_file
from rensei_daemon.core.health import ConsumerHealth, Proof
from rensei_daemon.delivery.delivery_protocol import ignore_uptake
from rensei_daemon.delivery.hook_record import HookRecord
from rensei_daemon.disk.atomic_file import remove_temporaries, replace_file, storage_errors
from rensei_daemon.disk.directories import is_tmpfs
from rensei_daemon.errors import DeliveryError, StorageError
from rensei_daemon.fast_dataclass import dataclass, replace


class EnvFile:
    """One file, replaced as a whole by each generation, with its mode and group."""

    kind = "env_file"
    after = None
    retries = None

    def __init__(
        self,
        path: Path,
        *,
        mode: int,
        gid: int | None,
        hook_record: HookRecord | None = None,
    ) -> None:
        """`hook_record` belongs to the hook that runs after this file."""
        self.on_uptake: Callable[[], None] = ignore_uptake
        self._path = path
        self._mode = mode
        self._gid = gid
        self._hook_record = hook_record
        self._is_in_memory = False
        self._last_access: _Access | None = None
        """Type, mode and owner after the last write."""
        self._seen: tuple[int, ...] = ()
        """The file's `lstat` identity when its content was last compared."""
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

    def deliver_at_once(self, credentials: Credentials) -> bool | None:
        """Replace the file if it is in memory; a thread would take far longer."""
        if not self._is_in_memory:
            return None
        try:
            self._write(credentials, is_first=False)
        except DeliveryError:
            return None
        self._note(credentials)
        return True

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
        data = render_env_file(credentials.env).encode()
        is_news = not (is_first and self._is_known(credentials, data))
        try:
            if is_first:
                remove_temporaries(self._path)
                self._is_in_memory = all(map(is_tmpfs, self._directories()))
            replace_file(self._path, data, mode=self._mode, gid=self._gid)
            with storage_errors(self._path):
                self._last_access = _Access.of(self._path.lstat())
            is_repair = credentials.generation == self._line.generation
            if is_news and not is_repair and self._hook_record is not None:
                self._hook_record.remove()
        except StorageError as error:
            raise DeliveryError(str(error), hint=error.hint) from None
        return is_news

    def _directories(self) -> Iterator[Path]:
        """Return the directories to flush."""
        yield self._path.parent
        if self._hook_record is not None:
            yield self._hook_record.directory

    def _is_known(self, credentials: Credentials, data: bytes) -> bool:
        record = self._hook_record
        is_due = record is not None and not record.holds(credentials)
        return not is_due and _holds(self._path, data)

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
        try:
            found = self._path.lstat()
        except FileNotFoundError:
            return "was removed"
        except OSError as error:
            return f"cannot be seen ({error.strerror})"
        if _identity(found) == self._seen:
            return ""
        if self._last_access is not None and (wrong := self._last_access.differs(found)):
            return wrong
        if not _holds(self._path, render_env_file(credentials.env).encode()):
            return "was changed"
        self._seen = _identity(found)
        return ""

    async def withdraw(self) -> None:
        """Remove the file; raises `DeliveryError` if that fails."""
        await anyio.to_thread.run_sync(self._remove)

    def _remove(self) -> None:
        try:
            with storage_errors(self._path):
                self._path.unlink(missing_ok=True)
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


def _holds(path: Path, data: bytes) -> bool:
    try:
        with path.open("rb") as file:
            is_file = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
            return is_file and file.read(len(data) + 1) == data
    except OSError:
        return False
