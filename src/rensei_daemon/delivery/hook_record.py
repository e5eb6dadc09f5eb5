"""Which values a session's hook has been run for, so that a crash loses no run.

The file comes first, and nothing is flushed for the hook before it is in place::

    1  the file is replaced                         the values are out
    2  the record is removed      (FileDelivery)    from here the hook is due
    3  the hook runs
    4  the record of what it ran for is written     (Hook)

After a crash the hook is due unless a record of the file's own values is there: before 1
nothing has changed; between 1 and 2 the record is of other values; from 2 to 4 there is
none. The record goes at 2, not at 3, and is not written at 4 when the file has changed
since 3: while a hook waits or runs, the file may change to B and back to A, and no record
of A must stand for a worker that has read B.
"""

import hashlib
import hmac
import secrets
import threading
from pathlib import Path

from rensei_daemon.core.credential import Credentials
from rensei_daemon.core.env_file import render_env_file
from rensei_daemon.core.file_content import FileContent
from rensei_daemon.disk.atomic_file import replace_file, storage_errors, sync_directory

_SALT_BYTES = 16


class HookRecord:
    """A file in the runtime directory with a salted digest of the values, never a value."""

    def __init__(self, path: Path, content: FileContent = FileContent()) -> None:  # noqa: B008 - immutable
        """`content` is the file's: other values of the session do not count."""
        self._path = path
        self._content = content
        self._lock = threading.Lock()
        self._changes = 0

    @property
    def directory(self) -> Path:
        """The directory of the record."""
        return self._path.parent

    @property
    def changes(self) -> int:
        """How often the file has changed; a hook remembers it when it starts."""
        return self._changes

    def holds(self, credentials: Credentials) -> bool:
        """Whether the hook has run for these values, and the file has not changed since."""
        try:
            found = self._path.read_bytes()
        except OSError:
            return False
        salt, digest = found[:_SALT_BYTES], found[_SALT_BYTES:]
        return hmac.compare_digest(digest, self._digest(salt, credentials))

    def write(self, credentials: Credentials, changes: int) -> None:
        """Record that run, unless the file has changed meanwhile; raises `StorageError`."""
        salt = secrets.token_bytes(_SALT_BYTES)
        with self._lock:
            if changes == self._changes:
                replace_file(self._path, salt + self._digest(salt, credentials), mode=0o600)

    def remove(self) -> None:
        """Remove the record, durably, so that the hook is due; raises `StorageError`."""
        with self._lock, storage_errors(self._path):
            self._changes += 1
            try:
                self._path.unlink()
            except FileNotFoundError:
                return
            sync_directory(self._path.parent)

    def _digest(self, salt: bytes, credentials: Credentials) -> bytes:
        text = render_env_file(self._content.values(credentials.env)).encode()
        return hmac.digest(salt, text, hashlib.sha256)
