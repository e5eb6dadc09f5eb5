"""The journal within its budget: what goes first, what never goes."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from journals import open_database

from rensei_daemon.core.document import Document
from rensei_daemon.core.edit import ABSENT, Edit
from rensei_daemon.core.mutation_state import MutationCounts, Outcome
from rensei_daemon.core.pending_mutation import PendingMutation
from rensei_daemon.disk.journal import Journal
from rensei_daemon.disk.journal_database import WAL_MOST_BYTES
from rensei_daemon.errors import StorageError
from rensei_daemon.settings.building import UnfitError, build
from rensei_daemon.settings.values import Limits

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
    plan = [Outcome(id="", cause="x", edits=edits)]
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
    assert not journal.budget.enforce(20 * MIB + MIB)
    assert _texts(journal) == [True] * 6
    # Behind the log of the last transactions, which the directory holds too.
    assert journal.budget.enforce(12 * MIB)
    kept = _texts(journal)
    assert kept == sorted(kept)
    assert not kept[0]
    detail = journal.records.mutation("m1")
    assert detail is not None
    assert detail["mutation"]["params"] is not None


def test_params_go_next_and_never_those_still_needed(journal: Journal) -> None:
    """A mutation without a confirmed outcome keeps its params."""
    _deliver(journal, 1, acked=True, size=4 * MIB)
    _deliver(journal, 2, acked=False, size=MIB)
    journal.receive([PendingMutation(id="m3", op="x", params={"id": "p" * MIB})], NOW)
    assert journal.budget.enforce(12 * MIB)
    assert [m["params"] is None for m in journal.records.mutations(10)] == [
        False,
        False,
        True,
    ]
    assert journal.records.counts() == MutationCounts(failed=2, unacknowledged=1, waiting=1)


def test_ids_and_outcomes_that_fill_it_are_an_error(journal: Journal) -> None:
    """None of them is deleted, and nothing more is stored."""
    for number in range(3):
        _deliver(journal, number, acked=True)
    with pytest.raises(StorageError, match="the ids and outcomes of all mutations") as no:
        journal.budget.enforce(1000)
    assert "state_mib" in no.value.hint
    again = PendingMutation(id="m1", op="x", params={"id": ""})
    assert journal.receive([again], NOW).new == 0
    assert journal.unconfirmed().failures == (("m1", "no"),)


def test_other_files_of_the_directory_count(journal: Journal, tmp_path: Path) -> None:
    """A log beside the journal takes its share."""
    _deliver(journal, 1, acked=True, size=4 * MIB)
    _checkpoint(tmp_path)
    most = 14 * MIB
    assert not journal.budget.enforce(most)
    (tmp_path / "log.jsonl").write_bytes(b"x" * 3 * MIB)
    assert journal.budget.enforce(most)


def test_the_least_budget_holds_the_largest_log(journal: Journal, tmp_path: Path) -> None:
    """Three files of 10 MB and the write-ahead log leave space for mutations."""
    for name in ("log.jsonl", "log.jsonl.1", "log.jsonl.2"):
        with (tmp_path / name).open("wb") as log:
            log.truncate(10_000_000)
    least = build(Limits, {"state_mib": 48}).state_mib * MIB
    with pytest.raises(UnfitError):
        build(Limits, {"state_mib": 47})
    assert not journal.budget.enforce(least)


def test_room_is_made_for_what_arrives(journal: Journal, tmp_path: Path) -> None:
    """As far as there is something to forget; what fits nowhere is not to be stored."""
    _deliver(journal, 1, acked=True, size=MIB)
    _checkpoint(tmp_path)
    most = 11 * MIB
    assert not journal.budget.enforce(most, arriving_bytes=MIB)
    assert journal.budget.enforce(most, arriving_bytes=2 * MIB)
    with pytest.raises(StorageError, match="and what still awaits its own"):
        journal.budget.enforce(most, arriving_bytes=4 * MIB)


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


def test_a_step_does_not_write_params_again(journal: Journal, tmp_path: Path) -> None:
    """What a mutation goes through is small, however much it carries."""
    many = [PendingMutation(id=f"m{n}", op="x", params="p" * 250_000) for n in range(8)]
    journal.receive(many, NOW)
    _checkpoint(tmp_path)
    for mutation in many:
        journal.reject(mutation.id, "no", NOW)
    journal.confirm([mutation.id for mutation in many], NOW)
    journal.receive(many, NOW)
    assert (tmp_path / "journal.db-wal").stat().st_size < MIB


def test_what_is_forgotten_is_not_written(journal: Journal, tmp_path: Path) -> None:
    """Params go by the megabyte, and little of that passes through the log."""
    for number in range(40):
        _deliver(journal, number, acked=True, size=250_000)
    _checkpoint(tmp_path)
    assert journal.budget.enforce(12 * MIB, arriving_bytes=3 * MIB)
    assert (tmp_path / "journal.db-wal").stat().st_size < WAL_MOST_BYTES
    kept = [m["params"] is not None for m in journal.records.mutations(40)]
    assert kept == sorted(kept, reverse=True)
    assert 1 <= sum(kept) <= 4


def test_the_file_gives_room_back(journal: Journal, tmp_path: Path) -> None:
    """A budget that was lowered holds for the file, not only for what is in it."""
    for number in range(40):
        _deliver(journal, number, acked=True, size=250_000)
    assert journal.budget.enforce(14 * MIB)
    assert (tmp_path / "journal.db").stat().st_size <= 6 * MIB


def test_a_round_has_a_bound_in_bytes(journal: Journal) -> None:
    """At most 1 MiB of params, and one mutation at least; the order is the platform's."""
    sizes = (400_000, 400_000, 400_000, 1_400_000, 10)
    for number, size in enumerate(sizes):
        mutation = PendingMutation(id=f"m{number}", op="x", params="p" * size)
        journal.receive([mutation], NOW)
    rounds = []
    while batches := journal.undecided():
        rounds.append([mutation.id for batch in batches for mutation in batch])
        for id_ in rounds[-1]:
            journal.reject(id_, "no", NOW)
    assert rounds == [["m0", "m1"], ["m2"], ["m3"], ["m4"]]
