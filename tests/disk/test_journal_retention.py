"""The journal within its budget: what goes first, what never goes."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import ValidationError

from rensei_daemon.core.document import Document
from rensei_daemon.core.edit import ABSENT, Edit
from rensei_daemon.core.mutation_state import MutationCounts, Planned
from rensei_daemon.core.pending_mutation import PendingMutation
from rensei_daemon.disk.journal import Journal
from rensei_daemon.disk.journal_database import open_database
from rensei_daemon.errors import StorageError
from rensei_daemon.settings.model import Limits

NOW = datetime(2026, 11, 28, tzinfo=UTC)
MIB = 1024 * 1024


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """A journal alone in its directory."""
    database, _ = open_database(tmp_path / "journal.db", now=NOW)
    with closing(database):
        yield Journal(database)


def _deliver(journal: Journal, number: int, *, acked: bool, size: int = 0) -> None:
    mutation = PendingMutation(id=f"m{number}", op="x", params={"id": "p" * size})
    journal.receive([mutation], NOW)
    journal.reject(mutation.id, "no", NOW)
    if acked:
        journal.confirm([mutation.id], NOW)


def _change(journal: Journal, number: int) -> None:
    before, after = (Document(f"# {n}\n" + "#" * MIB) for n in (number, number + 1))
    edits = (Edit(("projects", f"p{number}"), ABSENT, {}),)
    plan = [Planned(id="", cause="x", edits=edits)]
    journal.intend(plan, before, after, NOW)
    journal.record_applied(NOW)


def _texts(journal: Journal) -> list[bool]:
    changes = journal.records.changes(100)
    return [change["text_kept"] for change in reversed(changes)]


def _checkpoint(directory: Path) -> None:
    with closing(sqlite3.connect(directory / "journal.db")) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def test_old_texts_go_first(journal: Journal) -> None:
    """One by one, the oldest first, as many as it takes; params and changes stay."""
    _deliver(journal, 1, acked=True, size=100_000)
    for number in range(6):
        _change(journal, number)
    assert not journal.budget.enforce(16 * MIB + MIB)
    assert _texts(journal) == [True] * 6
    # Behind the log of the last transactions, which the directory holds too.
    assert journal.budget.enforce(8 * MIB)
    kept = _texts(journal)
    assert kept == sorted(kept)
    assert not kept[0]
    detail = journal.records.mutation("m1")
    assert detail is not None
    assert detail["mutation"]["params"] is not None


def test_params_go_next_and_never_those_still_needed(journal: Journal) -> None:
    """What has no outcome yet, or has not told it, keeps its params."""
    _deliver(journal, 1, acked=True, size=4 * MIB)
    _deliver(journal, 2, acked=False, size=MIB)
    journal.receive([PendingMutation(id="m3", op="x", params={"id": "p" * MIB})], NOW)
    assert journal.budget.enforce(8 * MIB)
    assert [m["params"] is None for m in journal.records.mutations(10)] == [
        False,
        False,
        True,
    ]
    assert journal.records.counts() == MutationCounts(failed=2, unacknowledged=1, waiting=1)


def test_ids_and_outcomes_that_fill_it_are_an_error(journal: Journal) -> None:
    """Nothing of them goes, and nothing more is taken up."""
    for number in range(3):
        _deliver(journal, number, acked=True)
    with pytest.raises(StorageError, match="ids and outcomes of all mutations fill") as no:
        journal.budget.enforce(1000)
    assert "state_mib" in no.value.hint
    again = PendingMutation(id="m1", op="x", params={"id": ""})
    assert journal.receive([again], NOW).new == 0
    assert journal.owed().failures == (("m1", "no"),)


def test_other_files_of_the_directory_count(journal: Journal, tmp_path: Path) -> None:
    """A log beside the journal takes its share."""
    _deliver(journal, 1, acked=True, size=4 * MIB)
    _checkpoint(tmp_path)
    most = 10 * MIB
    assert not journal.budget.enforce(most)
    (tmp_path / "log.jsonl").write_bytes(b"x" * 3 * MIB)
    assert journal.budget.enforce(most)


def test_the_least_budget_holds_the_largest_log(journal: Journal, tmp_path: Path) -> None:
    """Three files of 10 MB and the write-ahead log leave room for mutations."""
    for name in ("log.jsonl", "log.jsonl.1", "log.jsonl.2"):
        with (tmp_path / name).open("wb") as log:
            log.truncate(10_000_000)
    least = Limits(state_mib=48).state_mib * MIB
    with pytest.raises(ValidationError):
        Limits(state_mib=47)
    assert not journal.budget.enforce(least)


def test_room_is_made_for_what_arrives(journal: Journal, tmp_path: Path) -> None:
    """As far as there is something to forget; a delivery alone never fails for it."""
    _deliver(journal, 1, acked=True, size=MIB)
    _checkpoint(tmp_path)
    most = 7 * MIB
    assert not journal.budget.enforce(most, arriving_bytes=MIB)
    assert journal.budget.enforce(most, arriving_bytes=2 * MIB)
    assert not journal.budget.enforce(most, arriving_bytes=99 * MIB)


def test_a_list_of_large_mutations_has_pages(journal: Journal) -> None:
    """At most 4 MiB of params a page; the next begins before the last one shown."""
    for number in range(5):
        _deliver(journal, number, acked=True, size=2 * MIB - 100)
    first = journal.records.mutations(5000)
    assert [m["id"] for m in first] == ["m4", "m3"]
    second = journal.records.mutations(5000, "m3")
    assert [m["id"] for m in second] == ["m2", "m1"]
    assert [m["id"] for m in journal.records.mutations(1, "m1")] == ["m0"]
    assert journal.records.mutations(10, "m0") == []


def test_counts_do_not_count(journal: Journal) -> None:
    """The database keeps them as mutations come and move."""
    for number in range(4):
        _deliver(journal, number, acked=number % 2 == 0)
    journal.receive([PendingMutation(id="w", op="x", params=None)], NOW)
    assert journal.records.counts() == MutationCounts(failed=4, unacknowledged=2, waiting=1)
