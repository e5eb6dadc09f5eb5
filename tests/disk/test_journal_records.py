"""The record of changes: what is kept, for how long, and who may look."""

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from journals import open_journal

from rensei_daemon.core.document import Document
from rensei_daemon.core.edit import ABSENT, Edit
from rensei_daemon.core.mutation_state import Outcome
from rensei_daemon.core.pending_mutation import PendingMutation
from rensei_daemon.disk.journal import Journal
from rensei_daemon.disk.journal_records import open_records
from rensei_daemon.errors import StorageError, UsageError

NOW = datetime(2026, 11, 24, 7, tzinfo=UTC)
OLD = "2026-11-24T07:00:00.000+00:00"
"""The same, as it was spelled before."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the journal is."""
    return tmp_path / "journal.db"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    """An empty journal."""
    with open_journal(path, now=NOW) as (journal, _):
        yield journal


def _document(projects: int) -> Document:
    entries = "".join(f"p{n} = {{ repositories = [] }}\n" for n in range(projects))
    return Document(f"[projects]\n{entries}")


def test_times_end_with_z(journal: Journal, path: Path) -> None:
    """Also those of rows that an older version has written."""
    delivered = PendingMutation(id="m-1", op="project.add", params={"id": "a"})
    journal.receive([delivered], NOW)
    _change(journal, 1, mutation="m-1")
    for _ in "new", "old":
        found, change = journal.records.mutation("m-1"), journal.records.change(1)
        assert found is not None
        assert change is not None
        mutation = found["mutation"]
        times = {mutation["received_at"], mutation["decided_at"], change["at"]}
        assert times == {"2026-11-24T07:00:00.000Z"}
        with closing(sqlite3.connect(path)) as raw, raw:
            raw.execute("UPDATE changes SET at = ?", (OLD,))
            raw.execute("UPDATE mutations SET received_at = ?, decided_at = ?", (OLD, OLD))


def _change(journal: Journal, number: int, *, mutation: str = "") -> None:
    """Make one change that adds one project."""
    edit = Edit(("projects", f"p{number}"), ABSENT, {"repositories": []})
    planned = Outcome(
        id=mutation, cause="project.enable", edits=(edit,), requested_by="root@h"
    )
    journal.intend([planned], _document(number), _document(number + 1), NOW)
    journal.record_applied(NOW)


def test_the_texts_of_the_last_fifty_changes_are_kept(journal: Journal) -> None:
    """Older changes keep their edits and lose their texts; nothing waits for a restart."""
    for number in range(60):
        _change(journal, number)
    records = journal.records
    changes = records.changes(100)
    assert [change["number"] for change in changes] == list(range(60, 0, -1))
    assert [change["text_kept"] for change in changes] == [True] * 50 + [False] * 10
    kept = records.change(11)
    assert kept is not None
    assert (kept["before"], kept["after"]) == (_document(10).text, _document(11).text)
    old = records.change(10)
    assert old is not None
    assert old["before"] is None
    assert old["edits"] == [
        {"path": "projects.p9", "before": None, "after": {"repositories": []}}
    ]


def test_an_intent_is_no_change_yet(journal: Journal) -> None:
    """Only what reached the file is on record, and the newest of that is the latest."""
    _change(journal, 0)
    edit = Edit(("projects", "p1"), ABSENT, {"repositories": []})
    planned = Outcome(id="", cause="rollback of change 1", edits=(edit,))
    journal.intend([planned], _document(1), _document(2), NOW)
    assert [change["number"] for change in journal.records.changes(9)] == [1]
    latest = journal.records.change(None)
    assert latest is not None
    assert latest["number"] == 1
    assert journal.records.edits(2) == []


def test_the_requester_of_a_change_is_the_mutation_s_or_whoever_rolled_back(
    journal: Journal,
) -> None:
    """A mutation's record says who asked; other changes have their own field."""
    pending = PendingMutation(
        id="m1", op="project.enable", params={"id": "p0"}, requested_by="ada"
    )
    journal.receive([pending], NOW)
    _change(journal, 0, mutation="m1")
    _change(journal, 1)
    changes = journal.records.changes(2)
    assert [change["requested_by"] for change in changes] == ["root@h", "ada"]
    detail = journal.records.mutation("m1")
    assert detail is not None
    assert (detail["mutation"]["outcome"], detail["mutation"]["change"]) == ("applied", 1)


def test_changes_of_one_replacement_name_one_another(journal: Journal) -> None:
    """A batch is one text and several changes."""
    plan = [
        Outcome(id="", cause=f"c{n}", edits=(Edit(("projects", f"p{n}"), ABSENT, {}),))
        for n in range(3)
    ]
    journal.intend(plan, _document(0), _document(3), NOW)
    journal.record_applied(NOW)
    middle = journal.records.change(2)
    assert middle is not None
    assert middle["together_with"] == [1, 3]


def test_a_page_begins_before_a_mutation_that_there_is(journal: Journal) -> None:
    """A mistyped id is an error, not the end of the list."""
    pending = PendingMutation(id="m1", op="project.remove", params={"id": "p0"})
    journal.receive([pending], NOW)
    assert journal.records.mutations(9, "m1") == []
    with pytest.raises(UsageError, match="there is no mutation m2 on record here"):
        journal.records.mutations(9, "m2")


def test_looking_leaves_the_journal_as_it_is(journal: Journal, path: Path) -> None:
    """The file of a daemon that is down is not written, not even a schema."""
    _change(journal, 0)
    before = path.read_bytes()
    with open_records(path) as records:
        assert len(records.changes(9)) == 1
    assert path.read_bytes() == before


def test_what_is_no_journal_of_ours_is_said(path: Path) -> None:
    """A file of another sort, or of another version, is a storage error; none is none."""
    with pytest.raises(FileNotFoundError), open_records(path):
        pass
    path.write_text("no database\n" * 100)
    with pytest.raises(StorageError), open_records(path):
        pass
    path.write_bytes(b"")
    with (
        pytest.raises(StorageError, match="another version of rensei-daemon"),
        open_records(path),
    ):
        pass
    assert path.read_bytes() == b""


@pytest.mark.needs("root")
def test_others_are_told_who_may_look(path: Path) -> None:
    """A user without permission learns who has it, not that there is no journal."""
    path.write_bytes(b"")
    path.parent.chmod(0o700)
    script = (
        "import os; from pathlib import Path\n"
        "from rensei_daemon.disk.journal_records import open_records\n"
        "from rensei_daemon.errors import NotPermittedError\n"
        "os.setgroups([]); os.setuid(65534)\n"
        f"try: open_records(Path({str(path)!r})).__enter__()\n"
        "except NotPermittedError as error: print(error)\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert said.stdout == f"{path}: only root and the daemon's user may read it\n"
