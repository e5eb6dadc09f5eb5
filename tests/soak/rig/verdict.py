"""What must hold whenever a host has come to rest, whatever was done to it."""

import sqlite3
import tomllib
from collections import defaultdict
from contextlib import closing

from rig.host import Host
from rig.model import Model

DECIDED = ("applied", "rejected", "applied-acked", "rejected-acked")


class BrokenPromiseError(AssertionError):
    """The daemon lost, doubled or tore something."""


def check(host: Host, model: Model) -> None:
    """Compare file, acks and journal with the model; raises `BrokenPromiseError`."""
    check_file(host, model)
    check_acks(host, model)
    check_journal(host, model)


def check_file(host: Host, model: Model) -> None:
    """Compare the file's values with the model's, and its head with what was written."""
    text = host.config.read_text()
    if not text.startswith(host.head()):
        raise BrokenPromiseError(f"the head of the file is not what it was:\n{text}")
    tree = tomllib.loads(text)
    found = {key: tree[key] for key in ("projects", "model_access") if key in tree}
    if found != model.tree:
        message = f"the file is not as the model:\n{found}\n{model.tree}\n{text}"
        raise BrokenPromiseError(message)


def check_acks(host: Host, model: Model) -> None:
    """Compare every ack the platform ever saw, the repeated ones too, with the model."""
    said: dict[str, set[str | None]] = defaultdict(set)
    for ack in host.platform.log.acks:
        said[ack.mutation_id].add(ack.error)
    for mutation_id, outcome in model.outcomes.items():
        if said[mutation_id] != {outcome}:
            told = said[mutation_id]
            message = f"{mutation_id}: acked as {told}, not as {outcome!r}"
            raise BrokenPromiseError(message)


def check_journal(host: Host, model: Model) -> None:
    """Look for exactly one outcome an id, and at most one change."""
    with closing(sqlite3.connect(host.state / "journal.db")) as journal:
        rows = journal.execute("SELECT id, state, error FROM mutations").fetchall()
        doubled = journal.execute(
            "SELECT mutation_id FROM changes WHERE is_made = 1 AND mutation_id IS NOT NULL"
            " GROUP BY mutation_id HAVING count(*) > 1"
        ).fetchall()
        broken = journal.execute("PRAGMA integrity_check").fetchone()[0]
    if broken != "ok":
        raise BrokenPromiseError(f"the journal is broken: {broken}")
    found = {i: e or None for i, state, e in rows if state in DECIDED}
    recorded = {i: found.get(i) for i in model.outcomes}
    if recorded != model.outcomes or not found.keys() >= model.outcomes.keys():
        raise BrokenPromiseError(f"on record: {recorded}, not {model.outcomes}")
    if doubled:
        raise BrokenPromiseError(f"changed twice by: {doubled}")


def is_nearly_poison(host: Host) -> bool:
    """Tell whether the daemon has died twice of a mutation that has no outcome yet."""
    with closing(sqlite3.connect(host.state / "journal.db")) as journal:
        found = journal.execute("SELECT state FROM mutations WHERE deaths >= 2").fetchall()
    return any(state not in DECIDED for (state,) in found)


def check_no_leftovers(host: Host) -> None:
    """Look for temporary files that nobody cleaned away."""
    left = list(host.config.parent.glob(".*.tmp"))
    if left:
        raise BrokenPromiseError(f"left behind: {left}")
