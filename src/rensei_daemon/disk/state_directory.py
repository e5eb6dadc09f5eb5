"""The state directory: created, locked and its journal opened, now or later.

A disk that is full or read-only at the start must not keep credentials from workers: the
daemon then runs without a journal and opens it later.
"""

from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from types import TracebackType

from rensei_daemon.disk.directories import STATE_MODE, prepare_directory, state_lock
from rensei_daemon.disk.journal import Journal
from rensei_daemon.disk.journal_database import Database


class StateDirectory:
    """Opened by `open`, which may be repeated; leaving the block closes everything."""

    def __init__(self, *, lock: Path, journal: Path) -> None:
        self._lock = lock
        self._database = Database(journal)
        self.journal = Journal(self._database)
        """Raises `StorageError` at every use until it is open."""
        self._held = ExitStack()
        self._is_locked = False

    def __enter__(self) -> "StateDirectory":
        """Do nothing; `open` opens the journal."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the journal and release the lock."""
        self._database.close()
        self._held.close()

    def open(self, *, now: datetime) -> Path | None:
        """Open what is not open yet; return where a foreign file was moved to.

        Blocks. Raises `StateInUseError` if another daemon holds the directory, and
        `StorageError` if the disk fails; it may then be called again.
        """
        if not self._is_locked:
            prepare_directory(self._lock.parent, mode=STATE_MODE)
            self._held.enter_context(state_lock(self._lock))
            self._is_locked = True
        return None if self._database.is_open else self._database.open(now=now)
