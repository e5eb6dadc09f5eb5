"""What is noted of snapshots: the scope that a session stands at, and the audit's entry.

    a new scope or version  --> both, durable before the answer
    an equal one, lately    --> the entry alone, after the answer

A fleet that comes back takes thousands within a minute, so they are written together.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import structlog

from rensei_platform.errors import UnavailableError
from rensei_platform.rules.callers import Caller
from rensei_platform.rules.credentials import Scope
from rensei_platform.services.tally import Tally
from rensei_platform.store import audit, credentials
from rensei_platform.store.credentials import TakenSnapshot
from rensei_platform.store.engine import Store
from rensei_platform.store.together import Together

ACTION = "credential.snapshot"
NOTE_AGAIN = timedelta(minutes=30)
"""After which an equal snapshot of a session is noted again: a quarter of the time for
which it counts (`fan_out.SCOPE_LIFETIME`)."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class SnapshotNote:
    """A snapshot that was taken: never its values."""

    caller: Caller
    session_id: str | None
    """None: it was taken for a project, and for no session."""
    scope: Scope
    version: int
    at: datetime
    names: tuple[str, ...]
    """The variables in it."""
    is_scope_new: bool = True

    @property
    def taken(self) -> TakenSnapshot | None:
        """Where the session stands."""
        if self.session_id is None:
            return None
        return TakenSnapshot(
            self.caller.org_id,
            self.caller.key_id,
            self.session_id,
            self.scope,
            self.version,
            self.at,
        )

    def entry(self) -> dict[str, Any]:
        """Return the row of the audit."""
        return audit.entry(
            self.caller,
            ACTION,
            self.session_id or "",
            self.at,
            project=self.scope.project_id,
            environment=self.scope.environment,
            names=list(self.names),
        )


class SnapshotNotes:
    """Writes what is noted of snapshots."""

    def __init__(self, store: Store, tally: Tally) -> None:
        self._store, self._tally = store, tally
        self._together = Together(self._write)

    async def is_new(self, note: SnapshotNote) -> bool:
        """Whether a session stands where it was not noted lately."""
        if note.taken is None:
            return False
        noted = await credentials.find_scope(self._store, note.taken)
        if noted is None or noted["version"] != note.version:
            return True
        age: timedelta = note.at - noted["snapshot_at"]
        return not timedelta() <= age < NOTE_AGAIN

    async def add(self, note: SnapshotNote) -> None:
        """Write a note; return when it is durable. Raise UnavailableError."""
        await self._together.add(note)

    async def add_entry(self, note: SnapshotNote) -> None:
        """Write its entry alone. The request is answered: a failure is only counted."""
        try:
            await self._together.add(replace(note, is_scope_new=False))
        except UnavailableError as error:
            self._tally.lost_entries += 1
            org_id = note.caller.org_id
            _log.error("audit.lost", action=ACTION, org_id=org_id, error=str(error))

    async def _write(self, notes: Sequence[SnapshotNote]) -> None:
        taken = [one.taken for one in notes if one.is_scope_new and one.taken is not None]
        async with self._store.write() as db:
            if taken:
                await credentials.note_scopes(db, taken)
            await audit.add_entries(db, [one.entry() for one in notes])
