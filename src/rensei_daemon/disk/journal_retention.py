"""How the journal stays within its size limit, and what it deletes first.

It deletes the texts of old changes, then params of mutations whose outcome is confirmed,
then the entries of old changes; the oldest first in each step. A mutation's id, content
digest and outcome are never deleted: they keep it from being applied twice.
"""

from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from rensei_daemon.core.iso_time import iso_time
from rensei_daemon.core.mutation_state import MutationState
from rensei_daemon.disk.journal_database import WAL_MOST_BYTES, Database
from rensei_daemon.errors import StorageError

_ROWS_AT_ONCE = 500
"""Rows deleted at most between two checks of the size."""

_CHARACTERS_AT_ONCE = 1024 * 1024

_FORGET = (
    "DELETE FROM texts WHERE digest IN (SELECT digest FROM texts WHERE digest NOT IN"
    " (SELECT digest_after FROM changes ORDER BY number DESC LIMIT 1) ORDER BY"
    " coalesce((SELECT max(number) FROM changes WHERE digest_after = digest), 0)"
    " LIMIT 1)",
    # The first of them, and with it as many as come to what is lacking.
    "DELETE FROM params WHERE position IN (SELECT position FROM"
    " (SELECT position, sum(size) OVER (ORDER BY position) - size AS before"
    " FROM (SELECT position, size FROM params JOIN mutations USING (position)"
    " WHERE state IN (:applied, :rejected) ORDER BY position LIMIT :rows))"
    " WHERE before < min(:lacking, :characters))",
    "DELETE FROM changes WHERE is_made = 1 AND number IN (SELECT number FROM changes"
    " WHERE number < (SELECT max(number) FROM changes) ORDER BY number LIMIT :rows)",
)
"""The deletions, in order; each statement deletes a little."""

_LIMITS = {
    "applied": MutationState.APPLIED_ACKED,
    "rejected": MutationState.REJECTED_ACKED,
    "rows": _ROWS_AT_ONCE,
    "characters": _CHARACTERS_AT_ONCE,
}


def _beside(journal: Path) -> int:
    """Return the size of the directory's other files.

    The write-ahead log counts with the size it soon grows to.
    """
    sizes = {f"{journal.name}-wal": WAL_MOST_BYTES}
    for path in journal.parent.iterdir():
        with suppress(OSError):  # deleted meanwhile
            if path != journal:
                sizes[path.name] = max(path.lstat().st_size, sizes.get(path.name, 0))
    return sum(sizes.values())


PARAMS_KEPT = timedelta(days=30)


class JournalRetention:
    """The journal's limits in size and age; every method blocks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def enforce(self, directory_bytes: int, *, arriving_bytes: int = 0) -> bool:
        """Delete until the state directory fits; return whether anything was deleted.

        Also makes room for arriving data. Raises `StorageError` if it does not fit
        beside what must be kept; then it must not be stored.
        """
        most_bytes = directory_bytes - _beside(self._database.path)
        had_to = False
        for statement in _FORGET:
            while (lacking := self._lacking(most_bytes, arriving_bytes)) > 0:
                with self._database.transaction() as run:
                    if not run(statement, {**_LIMITS, "lacking": lacking}).rowcount:
                        break
                had_to = True
        self._database.shrink(most_bytes)
        if self._lacking(most_bytes, arriving_bytes) > 0:
            raise StorageError(
                "the ids and outcomes of all mutations, and what still awaits its own, "
                "fill the state directory's budget",
                hint="raise [limits].state_mib; until there is room, none is taken up",
            )
        return had_to

    def _lacking(self, most_bytes: int, arriving_bytes: int) -> int:
        return self._database.used_bytes() + arriving_bytes - most_bytes

    def prune(self, now: datetime) -> None:
        """Delete old params; outcomes and params of unconfirmed mutations stay."""
        before = iso_time(now - PARAMS_KEPT)
        with self._database.transaction() as run:
            run(
                "DELETE FROM params WHERE position IN (SELECT position FROM mutations"
                " WHERE state IN (?, ?) AND decided_at < ?)",
                (MutationState.APPLIED_ACKED, MutationState.REJECTED_ACKED, before),
            )
