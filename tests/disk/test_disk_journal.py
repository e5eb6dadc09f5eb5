"""The journal on disk: one final outcome, and nothing unreadable is lost."""

import json
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from journals import open_database, open_journal
from privileges import as_nobody

from rensei_daemon.core.document import Document
from rensei_daemon.core.edit import ABSENT, Edit
from rensei_daemon.core.heartbeat import Acks
from rensei_daemon.core.mutation import Op, parse_mutation
from rensei_daemon.core.mutation_state import CorruptJournalError, MutationCounts, Outcome
from rensei_daemon.core.pending_mutation import PendingMutation
from rensei_daemon.disk import journal_schema
from rensei_daemon.disk.journal import Journal, Received
from rensei_daemon.errors import InvalidMutationError, StorageError

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
BEFORE, AFTER = Document("a = 1\n"), Document("a = 2\n")
EDIT = Edit(("projects", "a"), ABSENT, {"repositories": []})


def _pending(id: str, params: Any = None, op: str = "project.remove") -> PendingMutation:
    return PendingMutation(id=id, op=op, params=params, requested_by="ada")


ONE, TWO, THREE = _pending("m1"), _pending("m2"), _pending("m3")


def _planned(id: str, error: str = "") -> Outcome:
    return Outcome(
        id=id, cause="project.remove", edits=() if error else (EDIT,), error=error
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the journal is."""
    return tmp_path / "journal.db"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    """An empty one."""
    with open_journal(path, now=NOW) as (journal, set_aside):
        assert set_aside is None
        yield journal


def _cell(path: Path, sql: str) -> Any:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(sql).fetchone()[0]
    finally:
        connection.close()


def _ids(journal: Journal) -> list[list[str]]:
    return [[mutation.id for mutation in batch] for batch in journal.undecided()]


def _decide(journal: Journal, *plan: Outcome) -> None:
    journal.intend(plan, BEFORE, AFTER, NOW)
    journal.record_applied(NOW)


def test_what_is_received_comes_back_whole_and_in_order(journal: Journal) -> None:
    """Any JSON survives, and once is enough."""
    odd = PendingMutation(
        id="m0",
        op="é",
        params=[{"a": [None, 1e300, 10**30, True]}, "\ud800"],
        requested_at="2026-11-24T12:00:00Z",
        requested_by="ada",
    )
    assert journal.receive([odd, ONE], NOW) == Received(new=2)
    assert journal.receive([ONE, odd, TWO], NOW) == Received(new=1)
    assert journal.undecided() == ((odd, ONE, TWO),)
    assert journal.unconfirmed() == Acks()


def test_outcomes_are_owed_until_they_are_confirmed(journal: Journal) -> None:
    """Applied and failed, in order; then none, and counted permanently."""
    journal.receive([ONE, TWO, THREE], NOW)
    _decide(journal, _planned("m1"), _planned("m2", "no"), _planned("m3"))
    owed = Acks(applied=("m1", "m3"), failures=(("m2", "no"),))
    assert journal.unconfirmed() == owed
    assert journal.records.counts() == MutationCounts(applied=2, failed=1, unacknowledged=3)
    journal.confirm(["m1", "m2"], NOW)
    assert journal.unconfirmed() == Acks(applied=("m3",))
    journal.confirm(["m3"], NOW)
    assert journal.unconfirmed() == Acks()
    assert journal.records.counts() == MutationCounts(applied=2, failed=1, unacknowledged=0)
    latest = journal.records.latest()
    assert latest is not None
    assert (latest["id"], latest["op"], latest["error"]) == ("m3", "project.remove", "")


def test_no_more_is_owed_at_once_than_a_beat_can_carry(journal: Journal) -> None:
    """The oldest come first; what is over the limit follows."""
    journal.receive([ONE, TWO, THREE], NOW)
    _decide(journal, *map(_planned, ["m1", "m2", "m3"]))
    assert journal.unconfirmed(limit=2) == Acks(applied=("m1", "m2"))


def test_a_redelivery_is_owed_again_with_the_same_outcome(journal: Journal) -> None:
    """Even if its content has changed, which is logged and recorded."""
    journal.receive([ONE, TWO], NOW)
    _decide(journal, _planned("m1"), _planned("m2", "no"))
    journal.confirm(["m1", "m2"], NOW)
    other = _pending("m2", {"id": "b"})
    assert journal.receive([ONE, other], NOW) == Received(conflicts=(other,))
    assert journal.unconfirmed() == Acks(applied=("m1",), failures=(("m2", "no"),))
    assert journal.undecided() == ()


def test_the_same_content_in_another_order_of_keys_is_no_conflict(journal: Journal) -> None:
    """Canonical JSON is compared, not the text."""
    journal.receive([_pending("m1", {"a": 1, "b": 2})], NOW)
    assert journal.receive([_pending("m1", {"b": 2, "a": 1})], NOW) == Received()
    other_op = _pending("m1", {"a": 1, "b": 2}, op="project.enable")
    assert journal.receive([other_op], NOW) == Received(conflicts=(other_op,))


def test_an_illegal_move_is_refused_and_changes_nothing(journal: Journal) -> None:
    """A confirmation of what has no outcome is an error, and none of its batch counts."""
    journal.receive([ONE, TWO], NOW)
    _decide(journal, _planned("m1"))
    with pytest.raises(CorruptJournalError, match="that is received cannot confirm"):
        journal.confirm(["m1", "m2"], NOW)
    assert journal.unconfirmed() == Acks(applied=("m1",))
    assert _ids(journal) == [["m2"]]


def test_a_new_intent_takes_the_place_of_the_old(path: Path, journal: Journal) -> None:
    """What came to nothing leaves no change behind, nor a refusal that was planned."""
    journal.receive([ONE, TWO], NOW)
    journal.intend([_planned("m1"), _planned("m2", "no")], BEFORE, AFTER, NOW)
    assert journal.has_intents()
    assert journal.unconfirmed() == Acks()
    assert journal.intended_digests() == (BEFORE.digest, AFTER.digest)
    assert _ids(journal) == [["m1", "m2"]]
    journal.intend([_planned("m2")], AFTER, AFTER, NOW)
    journal.record_applied(NOW)
    assert not journal.has_intents()
    assert journal.unconfirmed() == Acks(applied=("m2",))
    assert _ids(journal) == [["m1"]]
    assert _cell(path, "SELECT group_concat(mutation_id) FROM changes") == "m2"


def test_a_change_of_our_own_is_an_intent_too(journal: Journal) -> None:
    """A change without a mutation is recorded, not acknowledged; a refused one is not."""
    journal.intend([_planned("")], BEFORE, AFTER, NOW)
    assert journal.has_intents()
    journal.record_applied(NOW)
    journal.intend([_planned("", "cannot edit")], BEFORE, BEFORE, NOW)
    journal.record_applied(NOW)
    assert not journal.has_intents()
    assert journal.records.counts() == MutationCounts()


def test_an_op_is_owed_from_delivery_to_confirmation(journal: Journal) -> None:
    """All the way, and again when it is delivered again."""
    pool = PendingMutation(id="m1", op="pool.deleted", params={"poolId": "p"})
    states = [journal.has_unfinished(Op.POOL_DELETED)]
    journal.receive([pool], NOW)
    states.append(journal.has_unfinished(Op.POOL_DELETED))
    _decide(journal, _planned("m1"))
    states.append(journal.has_unfinished(Op.POOL_DELETED))
    journal.confirm(["m1"], NOW)
    states.append(journal.has_unfinished(Op.POOL_DELETED))
    journal.receive([pool], NOW)
    states.append(journal.has_unfinished(Op.POOL_DELETED))
    assert states == [False, True, True, False, True]


def test_those_in_flight_at_a_death_are_tried_alone(journal: Journal) -> None:
    """Suspects are batches of one, and only a mutation that was alone counts a crash."""
    journal.receive([ONE, TWO], NOW)
    journal.attempts.begin(["m1", "m2"])
    journal.attempts.count_crashes("boot")
    journal.receive([THREE, _pending("m4")], NOW)
    assert _ids(journal) == [["m1"], ["m2"], ["m3", "m4"]]
    assert [journal.attempts.crashes(id) for id in ("m1", "m2", "unknown")] == [0, 0, 0]
    journal.attempts.begin(["m1"])
    journal.attempts.count_crashes("boot")
    journal.attempts.count_crashes("boot")  # nothing is in flight any more
    assert [journal.attempts.crashes(id) for id in ("m1", "m2")] == [1, 0]
    journal.attempts.begin(["m1"])
    journal.attempts.end()
    journal.attempts.count_crashes("boot")
    assert journal.attempts.crashes("m1") == 1


def test_old_params_go_and_outcomes_stay(path: Path, journal: Journal) -> None:
    """After 30 days acked params are deleted; unconfirmed ones stay, and so do ids."""
    journal.receive([ONE, TWO], NOW)
    _decide(journal, _planned("m1"), _planned("m2", "no"))
    journal.confirm(["m1"], NOW)
    journal.budget.prune(NOW + timedelta(days=30))
    count = "SELECT count(*) FROM params"
    assert _cell(path, count) == 2
    journal.budget.prune(NOW + timedelta(days=31))
    assert _cell(path, count) == 1
    assert journal.receive([ONE, _pending("m1", {"id": "x"})], NOW).conflicts
    assert journal.unconfirmed() == Acks(applied=("m1",), failures=(("m2", "no"),))


def test_a_password_in_a_url_is_not_kept(path: Path, journal: Journal) -> None:
    """It is no less the same mutation when it comes again, and no less refused."""
    secret = "https://bot:ghp_canary@git.example/a/b"
    pending = _pending("m1", {"id": "a", "repository": secret}, "project.add")
    assert journal.receive([pending], now=NOW) == Received(new=1)
    kept = _cell(path, "SELECT json FROM params")
    assert json.loads(kept)["repository"] == "https://…@git.example/a/b"
    files = path.parent.glob("journal.db*")
    assert not any(b"canary" in file.read_bytes() for file in files)
    assert journal.receive([pending], now=NOW) == Received()
    ((again,),) = journal.undecided()
    with pytest.raises(InvalidMutationError, match="user info"):
        parse_mutation(again.op, again.params)


def test_everything_survives_a_restart(path: Path) -> None:
    """Another process finds what this one recorded."""
    with open_journal(path, now=NOW) as (journal, _):
        journal.receive([ONE, TWO], NOW)
        _decide(journal, _planned("m1"))
    with open_journal(path, now=NOW) as (journal, set_aside):
        assert set_aside is None
        assert journal.unconfirmed() == Acks(applied=("m1",))
        assert _ids(journal) == [["m2"]]


def test_a_transaction_is_durable_whatever_the_library_was_built_for(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some builds of SQLite flush less in WAL mode unless configured."""
    connect: Callable[..., sqlite3.Connection] = sqlite3.connect

    def connect_carelessly(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(*arguments, **options)
        connection.execute("PRAGMA synchronous = OFF")
        return connection

    monkeypatch.setattr(sqlite3, "connect", connect_carelessly)
    database, _ = open_database(path, now=NOW)
    with closing(database):
        [(mode,)] = database.rows("PRAGMA journal_mode")
        [(level,)] = database.rows("PRAGMA synchronous")
    assert (mode, level) == ("wal", 2)


def test_nobody_else_can_read_it(path: Path, journal: Journal) -> None:
    """The file and SQLite's own beside it are private."""
    journal.receive([ONE], NOW)
    modes = {p.name: oct(p.stat().st_mode & 0o777) for p in path.parent.iterdir()}
    assert set(modes.values()) == {"0o600"}


@pytest.mark.parametrize(
    "garbage", [b"not a database at all" * 100, b"SQLite format 3\0" + b"\xff" * 5000]
)
def test_a_damaged_file_is_set_aside(path: Path, garbage: bytes) -> None:
    """It keeps its bytes under another name, and a fresh journal works."""
    path.write_bytes(garbage)
    with open_journal(path, now=NOW) as (journal, set_aside):
        assert set_aside == path.with_name("journal.db.damaged-20261124T120000Z")
        assert set_aside.read_bytes() == garbage
        journal.receive([ONE], NOW)
        assert _ids(journal) == [["m1"]]


def test_a_journal_torn_in_the_middle_is_set_aside(path: Path) -> None:
    """Damage that shows only on a closer look is found at the start, not later."""
    with open_journal(path, now=NOW) as (journal, _):
        journal.receive([_pending(f"m{n}", {"id": "x" * 500}) for n in range(200)], NOW)
    data = bytearray(path.read_bytes())
    data[8192:40960] = b"\xa5" * (40960 - 8192)
    path.write_bytes(data)
    with open_journal(path, now=NOW) as (journal, set_aside):
        assert set_aside is not None
        assert set_aside.read_bytes() == bytes(data)
        assert journal.undecided() == ()


def test_an_empty_file_is_a_fresh_journal(path: Path) -> None:
    """A crash at the start may leave one."""
    path.touch()
    with open_journal(path, now=NOW) as (journal, set_aside):
        assert set_aside is None
        assert journal.undecided() == ()


def test_a_newer_schema_is_refused_and_left_alone(path: Path) -> None:
    """Nothing is moved aside: the newer version can continue with it."""
    with open_journal(path, now=NOW):
        pass
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with (
        pytest.raises(StorageError, match="written by a newer rensei-daemon") as refused,
        open_journal(path, now=NOW),
    ):
        pass
    assert "install that version again" in refused.value.hint
    assert _cell(path, "PRAGMA user_version") == 99
    assert [p.name for p in path.parent.glob("*damaged*")] == []


def test_a_full_disk_loses_nothing(small_disk: Path) -> None:
    """What does not fit is refused as a whole; old contents stay; free space fixes it."""
    many = [_pending(f"n{n}", {"id": "x" * 2000}) for n in range(200)]
    with open_journal(small_disk / "journal.db", now=NOW) as (journal, _):
        journal.receive([ONE], NOW)
        _decide(journal, _planned("m1"))
        filler = small_disk / "filler"
        filler.write_bytes(b"x" * 30_000)
        for _ in range(2):
            with pytest.raises(StorageError, match=r"full|disk I/O error"):
                journal.receive(many, NOW)
            assert journal.undecided() == ()
            assert journal.unconfirmed() == Acks(applied=("m1",))
        filler.unlink()
        journal.receive(many[:2], NOW)
        assert len(journal.undecided()[0]) == 2


def test_a_journal_on_a_disk_that_became_read_only_is_said(small_disk: Path) -> None:
    """After an I/O error, and a restart: no crash; it opens once it may be written."""
    path = small_disk / "journal.db"
    with open_journal(path, now=NOW) as (journal, _):
        journal.receive([ONE], NOW)
    _remount(small_disk, "ro")
    with (
        pytest.raises(StorageError, match="Read-only file system") as refused,
        open_journal(path, now=NOW),
    ):
        pass
    assert refused.value.hint == f"mount it writable: findmnt --target {small_disk}"
    _remount(small_disk, "rw")
    with open_journal(path, now=NOW) as (journal, _):
        assert journal.undecided() == ((ONE,),)


@pytest.mark.needs("root")
def test_a_journal_of_another_user_is_said(path: Path) -> None:
    """The daemon was run by root once: its own user gets an error, not a crash."""
    with open_journal(path, now=NOW):
        pass
    path.chmod(0o666)
    for folder in path.parents:
        if not folder.stat().st_mode & stat.S_IXOTH:
            folder.chmod(0o755)
    path.parent.chmod(0o777)
    with (
        as_nobody(),
        pytest.raises(StorageError, match="Operation not permitted") as refused,
        open_journal(path, now=NOW),
    ):
        pass
    assert refused.value.hint.startswith("let the daemon's user write there: ls -ld ")


def _remount(disk: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", disk], check=True)


def test_a_directory_in_its_place_is_said(path: Path) -> None:
    """An error of ours, which names the path."""
    path.mkdir()
    with (
        pytest.raises(StorageError, match="unable to open database file"),
        open_journal(path, now=NOW),
    ):
        pass


@pytest.mark.needs("root")
def test_a_read_only_directory_is_said(path: Path) -> None:
    """An error of ours, with a hint where to look."""
    path.parent.parent.chmod(0o755)
    path.parent.chmod(0o555)
    script = (
        "import os, json; from pathlib import Path; from datetime import datetime, UTC\n"
        "from rensei_daemon.disk.journal_database import Database\n"
        "from rensei_daemon.errors import StorageError\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "try:\n"
        f" Database(Path({str(path)!r})).open(now=datetime.now(UTC))\n"
        "except StorageError as error: print(json.dumps([str(error), error.hint]))\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    message, hint = json.loads(said.stdout)
    assert message == f"{path}: unable to open database file"
    assert hint == f"see the disk: df -h {path.parent}; ls -ld {path.parent} {path}"


def test_an_older_journal_takes_the_steps_it_lacks(path: Path) -> None:
    """The records of the first version are there, and nothing is moved aside."""
    connection = sqlite3.connect(path)
    connection.executescript(f"{journal_schema.STEPS[0]} PRAGMA user_version = 1;")
    connection.execute(
        "INSERT INTO mutations (id, op, params, digest, requested_by, requested_at,"
        " received_at, state) VALUES ('m1', 'project.add', '{}', 'd', 'ada', '', '',"
        " 'applied')"
    )
    connection.commit()
    connection.close()
    with open_journal(path, now=NOW) as (journal, set_aside):
        assert set_aside is None
        assert journal.unconfirmed().applied == ("m1",)
        assert [m["params"] for m in journal.records.mutations(9)] == [{}]
    assert _cell(path, "PRAGMA user_version") == journal_schema.VERSION
    assert _cell(path, "SELECT intended_at FROM mutations") == ""


def test_a_database_of_another_program_is_set_aside(path: Path) -> None:
    """It is kept whole under another name, and nothing of ours is written into it."""
    connection = sqlite3.connect(path)
    connection.executescript("CREATE TABLE theirs (x); PRAGMA user_version = 1;")
    connection.close()
    with open_journal(path, now=NOW) as (journal, set_aside):
        assert set_aside is not None
        assert journal.unconfirmed().ids == ()
    assert _cell(set_aside, "SELECT group_concat(name) FROM sqlite_master") == "theirs"
