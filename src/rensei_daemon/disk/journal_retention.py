"""How the journal stays within a budget, and what it forgets first.

The texts of old changes go first, then params the platform has the outcome of, then what
old changes wrote; the oldest of each first. A mutation's id, the digest of its content
and its outcome never go: they are what keeps it from being applied twice.
"""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rensei_daemon.core.mutation_state import MutationState
from rensei_daemon.disk.journal_database import WAL_KEPT_BYTES, Database
from rensei_daemon.errors import StorageError

_CHUNK = 500
"""Rows dropped between two looks at the size."""

_FORGET = (
    (
        "DELETE FROM texts WHERE digest IN (SELECT digest FROM texts WHERE digest NOT IN"
        " (SELECT digest_after FROM changes ORDER BY number DESC LIMIT 1) ORDER BY"
        " coalesce((SELECT max(number) FROM changes WHERE digest_after = digest), 0)"
        " LIMIT 1)",
        (),
    ),
    (
        "UPDATE mutations SET params = NULL WHERE position IN (SELECT position"
        " FROM mutations WHERE params IS NOT NULL AND state IN (?, ?)"
        " ORDER BY position LIMIT ?)",
        (MutationState.APPLIED_ACKED, MutationState.REJECTED_ACKED, _CHUNK),
    ),
    (
        "DELETE FROM changes WHERE is_made = 1 AND number IN (SELECT number FROM changes"
        " WHERE number < (SELECT max(number) FROM changes) ORDER BY number LIMIT ?)",
        (_CHUNK,),
    ),
)
"""What goes, in this order: each statement forgets a little."""


def _beside(journal: Path) -> int:
    """Return the bytes of the other files in the directory.

    The write-ahead log counts for what SQLite keeps of it: it grows to that in no time.
    """
    sizes = {f"{journal.name}-wal": WAL_KEPT_BYTES}
    for path in journal.parent.iterdir():
        with suppress(OSError):  # gone meanwhile
            if path != journal:
                sizes[path.name] = max(path.lstat().st_size, sizes.get(path.name, 0))
    return sum(sizes.values())


PARAMS_KEPT = timedelta(days=30)


class JournalRetention:
    """What the journal may take up, and for how long; every method blocks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def enforce(self, directory_bytes: int, *, arriving_bytes: int = 0) -> bool:
        """Forget until the state directory fits; whether anything had to be forgotten.

        Room is made for what arrives too, as far as there is anything to forget.
        Raises `StorageError` when what must be kept for ever does not fit.
        """
        most_bytes = directory_bytes - _beside(self._database.path)
        had_to = False
        for statement, parameters in _FORGET:
            while self._database.used_bytes() + arriving_bytes > most_bytes:
                with self._database.transaction() as run:
                    if not run(statement, parameters).rowcount:
                        break
                had_to = True
        if self._database.used_bytes() > most_bytes:
            raise StorageError(
                "the ids and outcomes of all mutations fill the state directory's budget",
                hint="raise [limits].state_mib; until then no mutation is taken up",
            )
        return had_to

    def prune(self, now: datetime) -> None:
        """Forget old params; outcomes stay for good, and what is owed stays whole."""
        before = (now - PARAMS_KEPT).astimezone(UTC).isoformat(timespec="milliseconds")
        with self._database.transaction() as run:
            run(
                "UPDATE mutations SET params = NULL"
                " WHERE state IN (?, ?) AND decided_at < ? AND params IS NOT NULL",
                (MutationState.APPLIED_ACKED, MutationState.REJECTED_ACKED, before),
            )
