"""The env file: a session's values for workers that read them when they start."""

from pathlib import Path

import anyio.to_thread

from rensei_daemon.core.credential import Credentials, Difference
from rensei_daemon.core.env_file import render_env_file
from rensei_daemon.disk.atomic import replace_file, storage_errors
from rensei_daemon.errors import DeliveryError, StorageError


class EnvFile:
    """One file, replaced whole with each generation, its mode and group asserted anew."""

    kind = "env_file"

    def __init__(self, path: Path, *, mode: int, gid: int | None) -> None:
        self._path = path
        self._mode = mode
        self._gid = gid

    @property
    def name(self) -> str:
        """The file's path."""
        return str(self._path)

    async def deliver(self, credentials: Credentials, difference: Difference) -> None:  # noqa: ARG002 - always written whole
        """Replace the file; raises `DeliveryError`, and the old file then stands."""
        data = render_env_file(credentials.env).encode()
        await anyio.to_thread.run_sync(self._write, data)

    def _write(self, data: bytes) -> None:
        try:
            replace_file(self._path, data, mode=self._mode, gid=self._gid)
        except StorageError as error:
            raise DeliveryError(str(error), hint=error.hint) from None

    async def withdraw(self) -> None:
        """Remove the file; raises `DeliveryError` where it cannot be."""
        await anyio.to_thread.run_sync(self._remove)

    def _remove(self) -> None:
        try:
            with storage_errors(self._path):
                self._path.unlink(missing_ok=True)
        except StorageError as error:
            raise DeliveryError(str(error), hint=error.hint) from None
