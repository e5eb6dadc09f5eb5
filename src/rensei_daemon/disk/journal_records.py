"""The journal's contents for people: changes, mutations, and the texts between them.

Read-only. It reads the journal of the running daemon, and for a command the file of a
daemon that is down; nothing is ever written here, not even a schema.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import accumulate
from pathlib import Path
from typing import Any

from rensei_daemon.core.edit import Edit, load_edits
from rensei_daemon.core.health import LastMutation, MutationsHealth
from rensei_daemon.core.history import (
    BlameChange,
    ChangeDetail,
    ChangeRecord,
    MutationDetail,
    MutationRecord,
    edit_records,
    no_mutation,
)
from rensei_daemon.core.mutation import ignored_names
from rensei_daemon.core.mutation_state import UNDECIDED, MutationCounts, MutationState
from rensei_daemon.disk.journal_database import Database, read_database

_PAGE = 500
"""Changes read at once when all of them are read backwards."""

_PAGE_CHARACTERS = 4 * 1024 * 1024
"""Limit of the params in one list: five thousand mutations may have a gigabyte of them."""

_OUTCOMES = {
    MutationState.APPLIED: "applied",
    MutationState.APPLIED_ACKED: "applied",
    MutationState.REJECTED: "failed",
    MutationState.REJECTED_ACKED: "failed",
}

_CHANGES = (
    "SELECT *, (SELECT count(*) FROM texts WHERE digest IN (digest_before, digest_after))"
    " = 1 + (digest_before != digest_after) AS text_kept FROM changes WHERE is_made = 1"
)


class JournalRecords:
    """Read the journal; every method blocks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def counts(self) -> MutationCounts:
        """Count the outcomes, and how many of them are not confirmed."""
        rows = self._database.rows("SELECT state, n FROM totals")
        by_state = {MutationState(row["state"]): int(row["n"]) for row in rows}
        applied, rejected = (
            by_state.get(MutationState.APPLIED, 0),
            by_state.get(MutationState.REJECTED, 0),
        )
        return MutationCounts(
            applied=applied + by_state.get(MutationState.APPLIED_ACKED, 0),
            failed=rejected + by_state.get(MutationState.REJECTED_ACKED, 0),
            unacknowledged=applied + rejected,
            waiting=sum(by_state.get(state, 0) for state in UNDECIDED),
        )

    def latest(self) -> Mapping[str, str] | None:
        """Return the mutation that was decided last, by column name."""
        rows = self._database.rows(
            "SELECT id, op, state, error, requested_by, decided_at FROM mutations"
            " WHERE decided_at != '' ORDER BY decided_at DESC, position DESC LIMIT 1"
        )
        return dict(rows[0]) if rows else None

    def health(self) -> MutationsHealth:
        """Return what the status shows of mutations."""
        counts, latest = self.counts(), self.latest()
        last = None
        if latest is not None:
            last = LastMutation(
                id=latest["id"],
                op=latest["op"],
                outcome="failed" if latest["error"] else "applied",
                message=latest["error"],
                at=datetime.fromisoformat(latest["decided_at"]),
            )
        return MutationsHealth(
            applied=counts.applied,
            failed=counts.failed,
            unacknowledged=counts.unacknowledged,
            waiting=counts.waiting,
            last=last,
        )

    def changes(self, limit: int) -> list[ChangeRecord]:
        """Return the last changes, newest first."""
        rows = self._database.rows(f"{_CHANGES} ORDER BY number DESC LIMIT ?", (limit,))
        return [_change(row) for row in rows]

    def change(self, number: int | None) -> ChangeDetail | None:
        """Return one change, the newest for None; None if there is no such change."""
        rows = self._database.rows(
            f"{_CHANGES} AND ? IN (number, 0) ORDER BY number DESC LIMIT 1", (number or 0,)
        )
        return self._detail(rows[0]) if rows else None

    def _detail(self, row: sqlite3.Row) -> ChangeDetail:
        written = (row["digest_before"], row["digest_after"], row["at"])
        together = self._database.rows(
            "SELECT number FROM changes WHERE is_made = 1 AND digest_before = ?"
            " AND digest_after = ? AND at = ? ORDER BY number",
            written,
        )
        return ChangeDetail(
            **_change(row),
            together_with=[r["number"] for r in together if r["number"] != row["number"]],
            before=self._text(row["digest_before"]),
            after=self._text(row["digest_after"]),
        )

    def _text(self, digest: str) -> str | None:
        rows = self._database.rows("SELECT text FROM texts WHERE digest = ?", (digest,))
        return str(rows[0]["text"]) if rows else None

    def edits(self, number: int) -> list[Edit]:
        """Return the edits of a change; empty if there is no such change."""
        rows = self._database.rows(
            "SELECT edits FROM changes WHERE number = ? AND is_made = 1", (number,)
        )
        return load_edits(rows[0]["edits"]) if rows else []

    def changes_for_blame(self) -> Iterator[BlameChange]:
        """Yield every change, newest first, with the entries it left."""
        below = 1 << 62
        while rows := self._database.rows(
            f"{_CHANGES} AND number < ? ORDER BY number DESC LIMIT ?", (below, _PAGE)
        ):
            for row in rows:
                yield BlameChange(record=_change(row), entries=load_edits(row["entries"]))
            below = rows[-1]["number"]

    def mutations(self, limit: int, before: str = "") -> list[MutationRecord]:
        """Return the newest mutations, or the newest older than one, newest first.

        At most `limit`, with at most `_PAGE_CHARACTERS` of params in total. Raise
        `UsageError` if `before` is not on record.
        """
        if before and not self._database.rows(
            "SELECT 1 FROM mutations WHERE id = ?", (before,)
        ):
            raise no_mutation(before)
        rows = self._database.rows(
            "SELECT position, coalesce(size, 0) AS size FROM mutations"
            " LEFT JOIN params USING (position)"
            " WHERE ? = '' OR position < (SELECT position FROM mutations WHERE id = ?)"
            " ORDER BY position DESC LIMIT ?",
            (before, before, limit),
        )
        if not rows:
            return []
        found = self._database.rows(
            f"{_MUTATIONS} WHERE position BETWEEN ? AND ? ORDER BY position DESC",
            (last_fitting(rows, _PAGE_CHARACTERS), rows[0]["position"]),
        )
        return [_mutation(row) for row in found]

    def mutation(self, mutation_id: str) -> MutationDetail | None:
        """Return one mutation with all details, or None if it is unknown."""
        rows = self._database.rows(f"{_MUTATIONS} WHERE id = ?", (mutation_id,))
        if not rows:
            return None
        record = _mutation(rows[0])
        number = record["change"]
        return MutationDetail(
            mutation=record,
            ignored=list(ignored_names(record["op"], record["params"])),
            change=None if number is None else self.change(number),
        )


_MUTATIONS = (
    "SELECT *, (SELECT max(number) FROM changes WHERE mutation_id = mutations.id"
    " AND is_made = 1) AS change FROM mutations LEFT JOIN params USING (position)"
)


def last_fitting(rows: Sequence[sqlite3.Row], most: int) -> int:
    """Return the position of the last row with which their sizes come to `most`, if any.

    The first one always fits; 0 when there are none.
    """
    totals = accumulate(row["size"] for row in rows)
    fitting = sum(total <= most for total in totals)
    return int(rows[max(fitting, 1) - 1]["position"]) if rows else 0


def _change(row: sqlite3.Row) -> ChangeRecord:
    return ChangeRecord(
        number=row["number"],
        at=_with_z(row["at"]),
        cause=row["cause"],
        mutation_id=row["mutation_id"],
        requested_by=row["requested_by"],
        edits=edit_records(load_edits(row["edits"])),
        text_kept=bool(row["text_kept"]),
    )


def _mutation(row: sqlite3.Row) -> MutationRecord:
    params: Any = json.loads(row["json"]) if row["json"] is not None else None
    return MutationRecord(
        id=row["id"],
        op=row["op"],
        params=params,
        state=row["state"],
        outcome=_OUTCOMES.get(MutationState(row["state"])),
        error=row["error"] or None,
        requested_by=row["requested_by"],
        requested_at=row["requested_at"],
        received_at=_with_z(row["received_at"]),
        intended_at=_with_z(row["intended_at"]) or None,
        decided_at=_with_z(row["decided_at"]) or None,
        acked_at=_with_z(row["acked_at"]) or None,
        came_again_changed=bool(row["is_conflict"]),
        change=row["change"],
    )


def _with_z(text: str) -> str:
    """Return a time of the journal with Z, also if it was written without."""
    return text.replace("+00:00", "Z")


@contextmanager
def open_records(path: Path) -> Iterator[JournalRecords]:
    """Open the journal of a daemon that is down, for reading.

    Raises `FileNotFoundError` if there is none, `NotPermittedError` if the user may not
    read it, and `StorageError` if the file is not a journal.
    """
    with read_database(path) as database:
        yield JournalRecords(database)
