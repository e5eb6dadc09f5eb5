"""The journal: the outcome of every mutation and every change of the file, kept forever.

`core.mutation_state` has the states of a mutation; this module stores them, one
transaction a step. Rules:

1. A recorded outcome never changes; ids, digests and outcomes are never deleted.
2. An intent names the exact text it starts from and the text it will leave, and is
   durable before the configuration file is touched.
3. A file that cannot be opened as a journal is moved aside, never deleted.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from rensei_daemon.core.document import Document
from rensei_daemon.core.edit import dump_edits
from rensei_daemon.core.heartbeat import Acks
from rensei_daemon.core.history import written_entries
from rensei_daemon.core.iso_time import iso_time
from rensei_daemon.core.mutation_state import (
    UNCONFIRMED,
    UNDECIDED,
    MutationState,
    Outcome,
    Transition,
    advance,
)
from rensei_daemon.core.pending_mutation import PendingMutation
from rensei_daemon.disk.attempts import Attempts
from rensei_daemon.disk.journal_database import Database, Run
from rensei_daemon.disk.journal_records import JournalRecords, last_fitting
from rensei_daemon.disk.journal_retention import JournalRetention
from rensei_daemon.disk.journal_rows import insert, pending

TEXTS_KEPT = 50
"""How many of the last changes keep their texts before and after."""

MOST_PER_ROUND = 5000
"""How many mutations one round applies, and how many outcomes one heartbeat carries."""

ROUND_CHARACTERS = 1024 * 1024
"""Limit of the params in one round, which pass through the write-ahead log at once."""

_DROP_OLD_TEXTS = (
    "WITH kept AS (SELECT * FROM changes ORDER BY number DESC LIMIT ?)"
    " DELETE FROM texts WHERE digest NOT IN"
    " (SELECT digest_before FROM kept UNION SELECT digest_after FROM kept)"
)


class Received(NamedTuple):
    """What was found while a delivery was recorded."""

    conflicts: tuple[PendingMutation, ...] = ()
    """Delivered before, with other content."""
    refused: tuple[PendingMutation, ...] = ()
    """Recorded as failed at once."""
    new: int = 0
    """How many were not known before."""


class Journal:
    """An open journal; its methods block and may be called from any thread."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.budget = JournalRetention(database)
        self.attempts = Attempts(database)
        self.records = JournalRecords(database)

    @property
    def is_open(self) -> bool:
        """Whether it is open; until then, every other method raises `StorageError`."""
        return self._database.is_open

    # -- receiving --

    def receive(self, delivered: Sequence[PendingMutation], now: datetime) -> Received:
        """Record delivered mutations; return conflicts and those that fail at once.

        A known id keeps its outcome, which is acknowledged again if the platform
        had already confirmed it.
        """
        conflicts, refused, new = [], [], 0
        with self._database.transaction() as run:
            for mutation in delivered:
                row = run(
                    "SELECT state, digest FROM mutations WHERE id = ?", (mutation.id,)
                ).fetchone()
                if row is None:
                    insert(run, mutation, now)
                    new += 1
                    if mutation.refusal:
                        self._decide(
                            run, mutation.id, Transition.REJECT, now, mutation.refusal
                        )
                        refused.append(mutation)
                    continue
                if MutationState(row["state"]) not in (*UNCONFIRMED, *UNDECIDED):
                    self._step(run, mutation.id, Transition.REDELIVER)
                if row["digest"] != mutation.digest:
                    run("UPDATE mutations SET is_conflict = 1 WHERE id = ?", (mutation.id,))
                    conflicts.append(mutation)
        return Received(tuple(conflicts), tuple(refused), new)

    def undecided(
        self, limit: int = MOST_PER_ROUND
    ) -> tuple[tuple[PendingMutation, ...], ...]:
        """Return the mutations without an outcome, in order, in batches to apply together.

        At most `limit` mutations with at most `ROUND_CHARACTERS` of params, since
        the platform may send any number at once. A mutation that was being applied
        when the daemon died is a batch of its own, so that one that crashes the
        daemon can be told from the others.
        """
        waiting = self._database.rows(
            "SELECT position, size FROM mutations JOIN params USING (position)"
            " WHERE state IN (?, ?) ORDER BY position LIMIT ?",
            (*UNDECIDED, limit),
        )
        rows = self._database.rows(
            "SELECT * FROM mutations JOIN params USING (position)"
            " WHERE state IN (?, ?) AND position <= ? ORDER BY position",
            (*UNDECIDED, last_fitting(waiting, ROUND_CHARACTERS)),
        )
        batches: list[list[PendingMutation]] = []
        is_joinable = False
        for row in rows:
            if row["is_suspect"] or not is_joinable:
                batches.append([])
            batches[-1].append(pending(row))
            is_joinable = not row["is_suspect"]
        return tuple(map(tuple, batches))

    # -- deciding --

    def intend(
        self,
        outcomes: Sequence[Outcome],
        before: Document,
        after: Document,
        now: datetime,
    ) -> None:
        """Record the text the file will have, and the outcome each mutation will have.

        Nothing is an outcome yet, not even a refusal: if somebody saves the file at
        the same moment, everything is planned again.
        """
        with self._database.transaction() as run:
            self._abandon(run)
            for outcome in outcomes:
                if outcome.id:
                    self._step(run, outcome.id, Transition.INTEND)
                    run(
                        "UPDATE mutations SET error = ?, intended_at = ? WHERE id = ?",
                        (outcome.error, iso_time(now), outcome.id),
                    )
                if outcome.edits:
                    self._insert_change(run, outcome, before, after, now)
            if before.text != after.text:
                # The text before is stored already, unless somebody has
                # edited since.
                for text in (before, after):
                    run(
                        "INSERT OR IGNORE INTO texts VALUES (?, ?)",
                        (text.digest, text.text),
                    )
            run("INSERT OR REPLACE INTO meta VALUES ('digest_before', ?)", (before.digest,))
            run("INSERT OR REPLACE INTO meta VALUES ('digest_after', ?)", (after.digest,))

    def _abandon(self, run: Run) -> None:
        """Delete an intent that was not carried out, so that there is at most one."""
        for mutation_id, _ in self._intended(run):
            self._step(run, mutation_id, Transition.ABANDON)
        run("DELETE FROM changes WHERE is_made = 0")

    def _intended(self, run: Run) -> list[tuple[str, str]]:
        """Return the (id, refusal) of each mutation in the intent."""
        rows = run(
            "SELECT id, error FROM mutations WHERE state = ?", (MutationState.INTENDED,)
        )
        return [(row["id"], row["error"]) for row in rows.fetchall()]

    def _insert_change(
        self,
        run: Run,
        outcome: Outcome,
        before: Document,
        after: Document,
        now: datetime,
    ) -> None:
        run(
            "INSERT INTO changes (mutation_id, cause, requested_by, at, edits, entries,"
            " digest_before, digest_after) VALUES (?, ?, coalesce((SELECT requested_by"
            " FROM mutations WHERE id = ?), ?), ?, ?, ?, ?, ?)",
            (
                outcome.id or None,
                outcome.cause,
                outcome.id,
                outcome.requested_by,
                iso_time(now),
                dump_edits(outcome.edits),
                dump_edits(written_entries(outcome.edits, after.tree)),
                before.digest,
                after.digest,
            ),
        )

    def intended_digests(self) -> tuple[str, str]:
        """Return the digests (before, after) of the last intent; empty if there is none."""
        rows = self._database.rows("SELECT key, value FROM meta WHERE key LIKE 'digest_%'")
        found = {row["key"]: row["value"] for row in rows}
        return found.get("digest_before", ""), found.get("digest_after", "")

    def has_intents(self) -> bool:
        """Whether there is an intent without an outcome."""
        sql = "SELECT 1 FROM mutations WHERE state = ? LIMIT 1"
        is_change = "SELECT 1 FROM changes WHERE is_made = 0 LIMIT 1"
        return bool(
            self._database.rows(sql, (MutationState.INTENDED,))
            or self._database.rows(is_change)
        )

    def record_applied(self, now: datetime) -> None:
        """Record that the intent is on disk: the outcome of all its mutations."""
        with self._database.transaction() as run:
            for mutation_id, error in self._intended(run):
                step = Transition.REJECT if error else Transition.APPLY
                self._decide(run, mutation_id, step, now, error)
            if run("UPDATE changes SET is_made = 1 WHERE is_made = 0").rowcount:
                run(_DROP_OLD_TEXTS, (TEXTS_KEPT,))

    def reject(self, mutation_id: str, error: str, now: datetime) -> None:
        """Record that one mutation failed."""
        with self._database.transaction() as run:
            self._decide(run, mutation_id, Transition.REJECT, now, error)

    def _decide(
        self, run: Run, mutation_id: str, step: Transition, now: datetime, error: str = ""
    ) -> None:
        self._step(run, mutation_id, step)
        run(
            "UPDATE mutations SET error = ?, decided_at = ?, flight = 0, is_suspect = 0"
            " WHERE id = ?",
            (error, iso_time(now), mutation_id),
        )

    def _step(self, run: Run, mutation_id: str, step: Transition) -> None:
        row = run("SELECT state FROM mutations WHERE id = ?", (mutation_id,)).fetchone()
        state = advance(MutationState(row["state"]), step)
        run("UPDATE mutations SET state = ? WHERE id = ?", (state, mutation_id))

    # -- acknowledging --

    def unconfirmed(self, limit: int = MOST_PER_ROUND) -> Acks:
        """Return the outcomes that the platform has not confirmed, oldest first."""
        rows = self._database.rows(
            "SELECT id, state, error FROM mutations WHERE state IN (?, ?)"
            " ORDER BY position LIMIT ?",
            (*UNCONFIRMED, limit),
        )
        return Acks(
            applied=tuple(
                row["id"] for row in rows if row["state"] == MutationState.APPLIED
            ),
            failures=tuple(
                (row["id"], row["error"])
                for row in rows
                if row["state"] == MutationState.REJECTED
            ),
        )

    def has_unfinished(self, op: str) -> bool:
        """Whether a mutation of this op has no outcome, or an unconfirmed one."""
        sql = "SELECT 1 FROM mutations WHERE op = ? AND state IN (?, ?, ?, ?) LIMIT 1"
        return bool(self._database.rows(sql, (op, *UNDECIDED, *UNCONFIRMED)))

    def confirm(self, ids: Sequence[str], now: datetime) -> None:
        """Record that the platform confirmed these outcomes."""
        if not ids:
            return
        with self._database.transaction() as run:
            for mutation_id in ids:
                self._step(run, mutation_id, Transition.CONFIRM)
                run(
                    "UPDATE mutations SET acked_at = ? WHERE id = ?",
                    (iso_time(now), mutation_id),
                )
