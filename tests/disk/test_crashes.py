"""The daemon dies at every step between a delivery and its outcome.

Whatever the step, a new daemon on the same files reaches the same file and one outcome per
mutation, and reports it each time it is asked.
"""

import errno
import os
import shutil
import sqlite3
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from journals import open_database
from valid_texts import accept, read_valid

from rensei_daemon.core.document import Document
from rensei_daemon.core.guards import Guards
from rensei_daemon.core.heartbeat import Acks
from rensei_daemon.core.mutation_state import POISON, Outcome
from rensei_daemon.core.pending_mutation import PendingMutation
from rensei_daemon.disk import config_file
from rensei_daemon.disk.applier import Applier
from rensei_daemon.disk.atomic_file import sync_directory
from rensei_daemon.disk.config_file import ConfigFile
from rensei_daemon.disk.journal import Journal
from rensei_daemon.disk.journal_database import Database, Run
from rensei_daemon.errors import StorageError
from rensei_daemon.settings.values import Settings

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)

TEXT = """\
# This file is ours.

[mutations]
allow = ["project.*", "pool.deleted", "modelAccess.*"]

[projects]
# payments team

proj_a = { repositories = ["https://github.com/acme/a"] }
proj_b = { repositories = ["https://github.com/acme/b"] }  # leaves soon
"""


class DiedError(BaseException):
    """The process died; nothing may catch this."""


class Fuse:
    """Counts the steps, and dies at one of them."""

    def __init__(self, dies_at: int | None = None) -> None:
        self.steps = 0
        self._dies_at = dies_at

    def burn(self) -> None:
        """Take a step."""
        self.steps += 1
        if self.steps - 1 == self._dies_at:
            raise DiedError


class MortalDatabase(Database):
    """Dies before a transaction, in it, and when it is durable."""

    def __init__(self, alive: Database, fuse: Fuse) -> None:
        self._alive = alive
        self._fuse = fuse

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> Any:
        """Return what a query finds."""
        return self._alive.rows(sql, parameters)

    @contextmanager
    def transaction(self) -> Iterator[Run]:
        """Run statements together, with three possible crashes."""
        self._fuse.burn()
        with self._alive.transaction() as run:
            yield run
            self._fuse.burn()
        self._fuse.burn()


class MortalFile(ConfigFile):
    """Dies before it reads, and before, in the middle of, and after a replacement."""

    def __init__(self, path: Path, fuse: Fuse) -> None:
        super().__init__(path)
        self._fuse = fuse

    def read(self) -> Document:
        """Read it."""
        self._fuse.burn()
        return super().read()

    def replace(self, before: Document, after: Document) -> None:
        """Replace it."""
        self._fuse.burn()
        super().replace(before, after)
        self._fuse.burn()

    def recover(self, *, before: str, after: str) -> None:
        """Recover it."""
        super().recover(before=before, after=after)
        self._fuse.burn()

    def _exchange(
        self, temporary: Path, target: Path, before: Document, after: Document
    ) -> None:
        with self._left_behind(temporary):
            self._fuse.burn()  # the new text lies beside the file
        super()._exchange(temporary, target, before, after)

    def _is_still(self, path: Path, document: Document) -> bool:
        with self._left_behind(path):
            self._fuse.burn()  # they are exchanged, and not compared yet
        return super()._is_still(path, document)

    @contextmanager
    def _left_behind(self, temporary: Path) -> Iterator[None]:
        try:
            yield
        except DiedError:
            # The dead tidy nothing up.
            os.link(temporary, temporary.with_name(f".{self.path.name}.{'dead' * 3}.tmp"))
            raise


class HastyJournal(Journal):
    """The planted defect: it records the outcome before the file is replaced."""

    def intend(
        self, plan: Sequence[Outcome], before: Document, after: Document, now: datetime
    ) -> None:
        """Intend, and record at once."""
        super().intend(plan, before, after, now)
        self.record_applied(now)


class FullOnceJournal(Journal):
    """The disk takes the file and, the first time, not the record of it."""

    refused = False

    def record_applied(self, now: datetime) -> None:
        """Record it, unless it is the first time."""
        if not self.refused:
            self.refused = True
            raise StorageError("no space left on device")
        super().record_applied(now)


@dataclass
class Host:
    """The files of one host, and its daemon, as often as it takes."""

    place: Path
    journal_type: type[Journal] = Journal
    boot_id: str = "boot-1"

    def __post_init__(self) -> None:
        self.config = self.place / "config.toml"
        self.config.write_text(TEXT)

    @contextmanager
    def daemon(
        self, fuse: Fuse | None = None
    ) -> Iterator[tuple[Applier[Settings], Journal]]:
        """Start the daemon; it dies when the fuse decides."""
        fuse = fuse or Fuse()
        database, _ = open_database(self.place / "journal.db", now=NOW)
        with closing(database):
            journal = self.journal_type(MortalDatabase(database, fuse))
            file = MortalFile(self.config, fuse)
            applier = Applier(
                file,
                journal,
                read=lambda: read_valid(file),
                accept=accept,
                guards=lambda: Guards(allow=["project.*", "pool.*", "modelAccess.*"]),
                boot_id=self.boot_id,
                now=lambda: NOW,
            )
            yield applier, journal

    def live(self, mutations: Sequence[PendingMutation]) -> Acks:
        """Run a daemon with this delivery that survives and reports its outcomes twice."""
        with self.daemon() as (applier, journal):
            _deliver(applier, journal, mutations)
            told = journal.unconfirmed()
            journal.confirm(told.ids, NOW)
            _deliver(applier, journal, mutations)  # the platform did not hear
            assert journal.unconfirmed() == told
            assert journal.undecided() == ()
        return told

    @property
    def history(self) -> list[tuple[str, str]]:
        """Which mutation made which edits, in the order they were made."""
        with closing(sqlite3.connect(self.place / "journal.db")) as database:
            return database.execute(
                "SELECT mutation_id, edits FROM changes WHERE is_made = 1 ORDER BY number"
            ).fetchall()

    def die(self, mutations: Sequence[PendingMutation], step: int) -> Acks:
        """Run a daemon with this delivery that dies; return its unreported outcomes."""
        try:
            with self.daemon(Fuse(step)) as (applier, journal):
                _deliver(applier, journal, mutations)
        except DiedError:
            pass
        with self.daemon() as (_, journal):
            return journal.unconfirmed()


def _deliver(
    applier: Applier[Settings], journal: Journal, mutations: Sequence[PendingMutation]
) -> None:
    """Have a heartbeat bring these, and the applier do its round."""
    journal.receive(mutations, NOW)
    applier.apply()


def _asked(*operations: tuple[str, Any]) -> tuple[PendingMutation, ...]:
    return tuple(
        PendingMutation(id=f"dmut_{number}", op=op, params=params, requested_by="ada")
        for number, (op, params) in enumerate(operations)
    )


def _add(project: str) -> tuple[str, Any]:
    return "project.add", {"id": project, "repository": f"https://github.com/x/{project}"}


MIXES = {
    "single": _asked(_add("proj_c")),
    "batch": _asked(
        _add("proj_c"),
        ("project.remove", {"id": "proj_b"}),
        ("modelAccess.set", {"policy": {"authOrder": ["local"]}}),
        _add("proj_a"),
    ),
    "no-op": _asked(
        ("project.add", {"id": "proj_a", "repository": "https://github.com/acme/A.git"})
    ),
    "failing": _asked(("session.kill", {"sessionId": "s"})),
    "mixed": _asked(
        ("project.add", {"id": "proj_c"}),
        _add("proj_d"),
        ("project.enable", None),
        ("project.disable", {"id": "proj_a"}),
    ),
    "pool": _asked(("pool.deleted", {"poolId": "p", "reason": "moved"}), _add("proj_c")),
}


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory in memory: this tests the order of steps, not the disk."""
    memory = Path("/dev") / "shm"
    has_room = os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 2**26
    with tempfile.TemporaryDirectory(dir=memory if has_room else None) as name:
        yield Path(name)


def _steps(name: str) -> int:
    with tempfile.TemporaryDirectory() as place:
        fuse = Fuse()
        with Host(Path(place)).daemon(fuse) as (applier, journal):
            _deliver(applier, journal, MIXES[name])
        return fuse.steps


CASES = [(name, step) for name in MIXES for step in range(_steps(name))]


@dataclass(frozen=True)
class Undisturbed:
    """What a delivery leads to on a host that does not die."""

    told: Acks
    text: str
    history: list[tuple[str, str]]


@cache
def _undisturbed(name: str) -> Undisturbed:
    with tempfile.TemporaryDirectory() as place:
        twin = Host(Path(place))
        told = twin.live(MIXES[name])
        return Undisturbed(told, twin.config.read_text(), twin.history)


def _edited_by_hand(text: str) -> str:
    return text.replace(
        "[projects]\n", "[projects]\nby_hand = { repositories = [] } # mine\n"
    )


def _hand_edit(host: Host) -> None:
    """Save as an editor does that writes a new file and renames it."""
    draft = host.config.with_suffix(".draft")
    draft.write_text(_edited_by_hand(host.config.read_text()))
    draft.replace(host.config)


def _tidy(host: Host) -> None:
    assert sorted(p.name for p in host.place.iterdir() if "tmp" in p.name) == []


@pytest.mark.parametrize(("name", "step"), CASES)
def test_a_death_at_any_step_changes_nothing(place: Path, name: str, step: int) -> None:
    """File and outcomes are the same, byte for byte, as without the crash."""
    _prove_one_effect(place, Journal, name, [step])


@pytest.mark.parametrize("step", range(_steps("batch")))
def test_a_second_death_changes_nothing_either(place: Path, step: int) -> None:
    """A second crash at the same step of the recovery does no harm."""
    _prove_one_effect(place, Journal, "batch", [step, step])


def _prove_one_effect(
    place: Path, journal_type: type[Journal], name: str, deaths: Sequence[int]
) -> None:
    expected = _undisturbed(name)
    host = Host(place, journal_type)
    for step in deaths:
        early = host.die(MIXES[name], step)
        assert set(early.applied) <= set(expected.told.applied)
        assert set(early.failures) <= set(expected.told.failures)
    assert host.live(MIXES[name]) == expected.told
    assert host.config.read_bytes() == expected.text.encode()
    assert host.history == expected.history
    _tidy(host)


def test_a_disk_full_after_the_replace_loses_no_history(place: Path) -> None:
    """The same process retries: one outcome, and the change is recorded."""
    host = Host(place, FullOnceJournal)
    with host.daemon() as (applier, journal):
        with pytest.raises(StorageError, match="no space"):
            _deliver(applier, journal, MIXES["single"])
        assert journal.unconfirmed() == Acks()
        assert host.history == []
        _deliver(applier, journal, MIXES["single"])
        assert journal.unconfirmed().applied == ("dmut_0",)
    assert [id for id, _ in host.history] == ["dmut_0"]
    assert host.config.read_text().count("proj_c = ") == 1


def test_a_flush_that_failed_is_repeated_before_the_outcome(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a power cut brought the old file back after its mutation was reported."""
    flushes: list[bool] = []

    def flush(directory: Path) -> None:
        flushes.append(bool(flushes))
        if flushes == [False]:
            raise OSError(errno.EIO, "Input/output error")
        sync_directory(directory)

    monkeypatch.setattr(config_file, "sync_directory", flush)
    host = Host(place)
    with host.daemon() as (applier, journal):
        with pytest.raises(StorageError, match="Input/output error"):
            _deliver(applier, journal, MIXES["single"])
        assert journal.unconfirmed() == Acks()
        applier.apply()
        assert journal.unconfirmed().applied == ("dmut_0",)
    assert flushes == [False, True]


def test_the_proof_sees_a_planted_defect(place: Path) -> None:
    """If the outcome were recorded before the replace, a step would fail."""
    red = []
    for step in range(_steps("single") + 3):
        place = place / str(step)
        place.mkdir()
        try:
            _prove_one_effect(place, HastyJournal, "single", [step])
        except AssertionError:
            red.append(step)
    assert red != []


@pytest.mark.parametrize(("name", "step"), CASES)
def test_an_edit_after_a_death_survives(place: Path, name: str, step: int) -> None:
    """A person edits while the daemon is down: both edits are in the file."""
    expected, host = _undisturbed(name), Host(place)
    host.die(MIXES[name], step)
    _hand_edit(host)
    assert host.live(MIXES[name]) == expected.told
    wanted = _edited_by_hand(expected.text)
    assert tomllib.loads(host.config.read_text()) == tomllib.loads(wanted)
    assert "by_hand = { repositories = [] } # mine\n" in host.config.read_text()
    _tidy(host)


def _exchanged_step() -> int:
    """The step at which a single mutation's text is exchanged and not compared yet."""
    with tempfile.TemporaryDirectory() as place:
        for step in range(_steps("single")):
            directory = Path(place) / str(step)
            directory.mkdir()
            host = Host(directory)
            host.die(MIXES["single"], step)
            leftovers = list(directory.glob(".config.toml.*.tmp"))
            if leftovers and leftovers[0].read_text() == TEXT:
                return step
    raise AssertionError


def test_an_edit_caught_in_the_exchange_comes_back(place: Path) -> None:
    """An edit saved just before the exchange is restored after the crash."""
    host = Host(place)
    host.die(MIXES["single"], _exchanged_step())
    (leftover,) = place.glob(".config.toml.*.tmp")
    leftover.write_text(TEXT.replace("# leaves soon", "# stays"))
    assert host.live(MIXES["single"]).applied == ("dmut_0",)
    text = host.config.read_text()
    assert "# stays" in text
    assert 'proj_c = { repositories = ["https://github.com/x/proj_c"] }' in text
    _tidy(host)


class PoisonedJournal(Journal):
    """Dies whenever `dmut_1` has been intended, alone or not."""

    def intend(
        self, plan: Sequence[Outcome], before: Document, after: Document, now: datetime
    ) -> None:
        """Intend, and die of it."""
        super().intend(plan, before, after, now)
        if any(planned.id == "dmut_1" for planned in plan):
            raise DiedError


def test_a_poison_fails_alone_and_the_rest_is_applied(place: Path) -> None:
    """After a crash each is tried alone; three crashes alone make it fail."""
    mutations = _asked(_add("proj_c"), _add("poison"), _add("proj_d"))
    host = Host(place, PoisonedJournal)
    for _ in range(1 + 3):
        with pytest.raises(DiedError), host.daemon() as (applier, journal):
            _deliver(applier, journal, mutations)
    told = host.live(mutations)
    assert told == Acks(applied=("dmut_0", "dmut_2"), failures=(("dmut_1", POISON),))
    projects = tomllib.loads(host.config.read_text())["projects"]
    assert set(projects) == {"proj_a", "proj_b", "proj_c", "proj_d"}


def test_deaths_of_another_boot_do_not_count(place: Path) -> None:
    """A host that loses power repeatedly fails no mutation."""
    mutations = _asked(_add("proj_c"), _add("proj_d"))
    host = Host(place, PoisonedJournal)
    for boot in range(6):
        host.boot_id = f"boot-{boot}"
        with pytest.raises(DiedError), host.daemon() as (applier, journal):
            _deliver(applier, journal, mutations)
    host.journal_type = Journal
    assert host.live(mutations) == Acks(applied=("dmut_0", "dmut_1"))
