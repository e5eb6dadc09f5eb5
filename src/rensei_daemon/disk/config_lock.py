"""The lock beside the configuration file, and the directories it records.

Rules of this module:

1. The lock is never on the configuration file itself, which is replaced.
2. It contains, as a `[paths]` table, the directories of the running daemon, so that a
   command finds them while the configuration file is missing or names other directories.
   This is no secret; users who may ask the daemon may read it.
3. An error about the lock names the lock.
"""

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rensei_daemon.disk.atomic_file import storage_errors
from rensei_daemon.errors import StorageError

_POLL_SECONDS = 0.02
_MODE = 0o644


class ConfigLock:
    """The lock of one configuration file; every method blocks."""

    def __init__(self, config: Path) -> None:
        self.path = config.with_name(f"{config.name}.lock")

    @contextmanager
    def held(self, *, within_seconds: float) -> Iterator[None]:
        """Hold the lock; raises `StorageError` if another process keeps it that long."""
        descriptor = self._open()
        try:
            if not poll(lambda: _try_lock(descriptor), within_seconds):
                raise StorageError(
                    f"{self.path} is held by another process",
                    hint=f"see which: fuser -v {self.path}",
                )
            yield
        finally:
            os.close(descriptor)

    def remember(self, *, state: Path, runtime: Path) -> None:
        """Write down the directories of the running daemon."""
        places = {"state": str(state.absolute()), "runtime": str(runtime.absolute())}
        lines = [f"{key} = {json.dumps(path)}\n" for key, path in places.items()]
        descriptor = self._open()
        try:
            with storage_errors(self.path):
                os.fchmod(descriptor, _MODE)
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"[paths]\n{''.join(lines)}".encode(), 0)
        finally:
            os.close(descriptor)

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with storage_errors(self.path):
            return os.open(self.path, flags, _MODE)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def poll(question: Callable[[], bool], within_seconds: float) -> bool:
    """Ask until the answer is true; return whether that was in time."""
    deadline = time.monotonic() + within_seconds
    while not question():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True
