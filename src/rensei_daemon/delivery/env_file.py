"""The env file: a session's values for workers that read them when they start."""

from collections.abc import Callable, Iterator
from pathlib import Path

import anyio.to_thread

from rensei_daemon.core.credential import Credentials, Difference
from rensei_daemon.core.env_file import render_env_file
from rensei_daemon.core.lines import ConsumerLine
from rensei_daemon.delivery.consumer import nobody
from rensei_daemon.delivery.hook_record import HookRecord
from rensei_daemon.disk.atomic import remove_temporaries, replace_file, storage_errors
from rensei_daemon.disk.places import is_tmpfs
from rensei_daemon.errors import DeliveryError, StorageError


class EnvFile:
    """One file, replaced whole with each generation, its mode and group asserted anew."""

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
        """`hook_record` is of the hook that comes after this file."""
        self.on_uptake: Callable[[], None] = nobody
        self._path = path
        self._mode = mode
        self._gid = gid
        self._hook_record = hook_record
        self._is_in_memory = False
        self._line = ConsumerLine(kind=self.kind, name=str(path))

    @property
    def name(self) -> str:
        """The file's path."""
        return str(self._path)

    @property
    def consumers(self) -> tuple[ConsumerLine, ...]:
        """The file itself."""
        return (self._line,)

    def deliver_at_once(self, credentials: Credentials) -> bool | None:
        """Replace a file in memory: to wake a thread for it would take far longer."""
        if not self._is_in_memory:
            return None
        try:
            self._write(credentials, is_first=False)
        except DeliveryError:
            return None
        self._note(credentials)
        return True

    async def deliver(self, credentials: Credentials, difference: Difference) -> bool:  # noqa: ARG002 - always written whole
        """Replace the file; raises `DeliveryError`, and the old file then stands.

        A file left by an earlier daemon that says the same already is no change, unless
        the hook has not been run for it.
        """
        is_first = self._line.generation is None
        is_news = await anyio.to_thread.run_sync(self._write, credentials, is_first)
        self._note(credentials)
        return is_news

    def _note(self, credentials: Credentials) -> None:
        self._line = ConsumerLine(
            kind=self.kind, name=self.name, generation=credentials.generation
        )
        self.on_uptake()

    def _write(self, credentials: Credentials, is_first: bool) -> bool:
        data = render_env_file(credentials.env).encode()
        is_news = not (is_first and self._is_known(credentials, data))
        try:
            if is_first:
                remove_temporaries(self._path)
                self._is_in_memory = all(map(is_tmpfs, self._directories()))
            replace_file(self._path, data, mode=self._mode, gid=self._gid)
            if is_news and self._hook_record is not None:
                self._hook_record.remove()
        except StorageError as error:
            raise DeliveryError(str(error), hint=error.hint) from None
        return is_news

    def _directories(self) -> Iterator[Path]:
        """Return where a write takes place."""
        yield self._path.parent
        if self._hook_record is not None:
            yield self._hook_record.directory

    def _is_known(self, credentials: Credentials, data: bytes) -> bool:
        record = self._hook_record
        is_due = record is not None and not record.holds(credentials)
        return not is_due and _holds(self._path, data)

    async def withdraw(self) -> None:
        """Remove the file; raises `DeliveryError` where it cannot be."""
        await anyio.to_thread.run_sync(self._remove)

    def _remove(self) -> None:
        try:
            with storage_errors(self._path):
                self._path.unlink(missing_ok=True)
        except StorageError as error:
            raise DeliveryError(str(error), hint=error.hint) from None


def _holds(path: Path, data: bytes) -> bool:
    try:
        return path.is_file() and path.read_bytes() == data
    except OSError:
        return False
