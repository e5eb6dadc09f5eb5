"""How a mutation is put into a row of the journal, and read from it."""

import json
import sqlite3
from datetime import datetime

from rensei_daemon.core.iso_time import iso_time
from rensei_daemon.core.mutation_state import MutationState
from rensei_daemon.core.pending_mutation import PendingMutation
from rensei_daemon.core.url_secrets import without_user_info
from rensei_daemon.disk.journal_database import Run


def insert(run: Run, mutation: PendingMutation, now: datetime) -> None:
    """Record a mutation that was delivered, with params that hold no password."""
    row = run(
        "INSERT INTO mutations (id, op, digest, requested_by, requested_at,"
        " received_at, state) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            mutation.id,
            mutation.op,
            mutation.digest,
            mutation.requested_by,
            mutation.requested_at,
            iso_time(now),
            MutationState.RECEIVED,
        ),
    )
    params = json.dumps(without_user_info(mutation.params), separators=(",", ":"))
    run("INSERT INTO params VALUES (?, ?, ?)", (row.lastrowid, len(params), params))


def pending(row: sqlite3.Row) -> PendingMutation:
    """Return the mutation of a row that has its params."""
    return PendingMutation(
        id=row["id"],
        op=row["op"],
        params=json.loads(row["json"]),
        requested_at=row["requested_at"],
        requested_by=row["requested_by"],
        digest=row["digest"],
    )
