"""From delivered mutations to recorded outcomes, on real files."""

import json
import tomllib
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from journals import open_journal
from valid_texts import accept, read_valid

from rensei_daemon.core.document import Document, ValidConfig
from rensei_daemon.core.edit import ABSENT, Edit
from rensei_daemon.core.guards import Guards
from rensei_daemon.core.heartbeat import Acks
from rensei_daemon.core.mutation_state import Outcome
from rensei_daemon.core.pending_mutation import PendingMutation, delivered
from rensei_daemon.disk.applier import Applier
from rensei_daemon.disk.config_file import ConfigFile
from rensei_daemon.disk.journal import Journal, Received
from rensei_daemon.errors import SettingsError, StorageError
from rensei_daemon.settings.values import Settings

CASES = Path(__file__).parents[1] / "core" / "cases"
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
TEXT = '[projects]\nproj_a = { repositories = ["https://x/a"] }\n'
POOL = '[pool]\nstatus = "deleted"\nid = "p"\n'


class EditedFile(ConfigFile):
    """A file that a person saves at the moment when the daemon replaces it."""

    def __init__(self, path: Path, edits: list[Callable[[str], str]]) -> None:
        super().__init__(path)
        self._edits = edits

    def replace(self, before: Document, after: Document) -> None:
        """Save first, then replace."""
        if self._edits:
            self.path.write_text(self._edits.pop(0)(self.path.read_text()))
        super().replace(before, after)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A config with one project."""
    path = tmp_path / "config.toml"
    path.write_text(TEXT)
    return path


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """An empty journal."""
    with open_journal(tmp_path / "journal.db", now=NOW) as (journal, _):
        yield journal


def _applier(
    file: ConfigFile,
    journal: Journal,
    *,
    guards: Guards | None = None,
    read: Callable[[], ValidConfig[Settings]] | None = None,
) -> Applier[Settings]:
    return Applier(
        file,
        journal,
        read=read or (lambda: read_valid(file)),
        accept=accept,
        guards=lambda: guards or Guards(allow=["*"]),
        boot_id="boot",
        now=lambda: NOW,
    )


def _mutation(number: int, op: str, **params: Any) -> PendingMutation:
    return PendingMutation(id=f"dmut_{number}", op=op, params=params)


def _add(number: int, project: str) -> PendingMutation:
    return _mutation(number, "project.add", id=project, repository=f"https://x/{project}")


def _projects(config: Path) -> Sequence[str]:
    return list(tomllib.loads(config.read_text())["projects"])


def test_a_batch_is_applied_in_order_and_one_bad_one_fails_alone(
    config: Path, journal: Journal
) -> None:
    """Each mutation gets its outcome; the file has what the valid ones ask for."""
    delivered = [
        _add(1, "proj_b"),
        _mutation(2, "session.kill"),
        _add(3, "proj_c"),
        _mutation(4, "project.enable", id="proj_a"),
    ]
    assert journal.receive(delivered, NOW) == Received(new=4)
    outcomes, today = _applier(ConfigFile(config), journal).apply()
    failure = 'unsupported mutation op "session.kill" (upgrade daemon?)'
    added = [
        Edit(("projects", project), ABSENT, {"repositories": [f"https://x/{project}"]})
        for project in ("proj_b", "proj_c")
    ]
    assert outcomes == [
        Outcome(id="dmut_1", cause="project.add", edits=(added[0],)),
        Outcome(id="dmut_2", cause="session.kill", error=failure),
        Outcome(id="dmut_3", cause="project.add", edits=(added[1],)),
        Outcome(id="dmut_4", cause="project.enable"),
    ]
    assert today is not None
    assert today.document.text == config.read_text()
    assert list(today.settings.projects) == ["proj_a", "proj_b", "proj_c"]
    assert journal.unconfirmed() == Acks(
        applied=("dmut_1", "dmut_3", "dmut_4"), failures=(("dmut_2", failure),)
    )
    assert _projects(config) == ["proj_a", "proj_b", "proj_c"]


def test_what_a_newer_platform_adds_to_a_policy_is_named(
    config: Path, journal: Journal
) -> None:
    """The ignored names are in the outcome and in the journal."""
    policy = {"version": 7, "matrix": {"*": {"byok": {"allowed": True, "costUsd": 3}}}}
    journal.receive([_mutation(1, "modelAccess.set", policy=policy)], NOW)
    [outcome], _ = _applier(ConfigFile(config), journal).apply()
    left_out = ("policy.version", "policy.matrix.*.byok.costUsd")
    assert (outcome.error, outcome.ignored) == ("", left_out)
    detail = journal.records.mutation("dmut_1")
    assert detail is not None
    assert detail["ignored"] == list(left_out)


def test_a_mutation_with_an_odd_id_is_answered_as_failed(
    config: Path, journal: Journal
) -> None:
    """It is not applied, and its failure is acknowledged."""
    [raw] = json.loads((CASES / "unanswered_id.json").read_text())
    journal.receive([delivered(**raw)], NOW)
    _applier(ConfigFile(config), journal).apply()
    error = "the mutation's id holds U+00A0, which cannot be shown"
    assert journal.unconfirmed() == Acks(applied=(), failures=((raw["id"], error),))
    assert config.read_text() == TEXT


def test_a_save_at_the_same_moment_is_planned_upon(config: Path, journal: Journal) -> None:
    """After two saves by a person, the third plan has both texts and every outcome."""
    file = EditedFile(
        config,
        [
            lambda text: text.replace("[projects]\n", "# mine\n[projects]\n"),
            lambda text: text + "by_hand = { repositories = [] }\n",
        ],
    )
    journal.receive([_mutation(1, "project.add"), _add(2, "proj_b")], NOW)
    outcomes, _ = _applier(file, journal).apply()
    refusal = "project.add requires id + repository"
    assert [(outcome.id, outcome.error) for outcome in outcomes] == [
        ("dmut_1", refusal),
        ("dmut_2", ""),
    ]
    assert journal.unconfirmed() == Acks(
        applied=("dmut_2",), failures=(("dmut_1", refusal),)
    )
    assert config.read_text().startswith("# mine\n")
    assert _projects(config) == ["proj_a", "by_hand", "proj_b"]


def test_a_person_who_saves_without_end_is_left_in_peace(
    config: Path, journal: Journal
) -> None:
    """After three attempts nothing is decided, the person's text stays; a retry works."""
    edits = [lambda text: text + "#\n"] * 3
    applier = _applier(EditedFile(config, edits), journal)
    journal.receive([_add(1, "proj_b"), _mutation(2, "project.add")], NOW)
    with pytest.raises(StorageError, match="edited at the same moment"):
        applier.apply()
    assert journal.unconfirmed() == Acks()
    assert config.read_text() == TEXT + "#\n" * 3
    applier.apply()
    assert journal.unconfirmed().ids == ("dmut_1", "dmut_2")


def test_a_redelivery_is_answered_with_the_outcome_on_record(
    config: Path, journal: Journal
) -> None:
    """It is not applied again, even if a person undid it or the params differ."""
    applier = _applier(ConfigFile(config), journal)
    journal.receive([_add(1, "proj_b")], NOW)
    applier.apply()
    journal.confirm(["dmut_1"], NOW)
    config.write_text(TEXT)
    other = _add(1, "proj_z")
    for again, conflicts in (([_add(1, "proj_b")], ()), ([other], (other,))):
        assert journal.receive(again, NOW).conflicts == conflicts
        assert applier.apply() == ([], None)
        assert journal.unconfirmed() == Acks(applied=("dmut_1",))
    assert config.read_text() == TEXT


def test_a_guard_answers_as_a_failure(config: Path, journal: Journal) -> None:
    """A forbidden mutation fails, its error names the guard, and the file stays."""
    guards = Guards(allow=["project.*"], protected_projects=["proj_a"])
    forbidden = [
        _mutation(1, "pool.deleted", poolId="p"),
        _mutation(2, "project.remove", id="proj_a"),
    ]
    journal.receive(forbidden, NOW)
    _applier(ConfigFile(config), journal, guards=guards).apply()
    assert [failure for _, failure in journal.unconfirmed().failures] == [
        "this host does not allow pool.deleted (mutations.allow in its config.toml)",
        'project "proj_a" is protected on this host '
        "(mutations.protected_projects in its config.toml)",
    ]
    assert config.read_text() == TEXT


def test_a_file_that_cannot_be_used_decides_nothing(config: Path, journal: Journal) -> None:
    """Mutations wait without an outcome, and no crash is counted for them."""

    def read() -> ValidConfig[Settings]:
        if "broken" in config.read_text():
            raise SettingsError("broken")
        return read_valid(ConfigFile(config))

    applier = _applier(ConfigFile(config), journal, read=read)
    config.write_text("broken")
    journal.receive([_add(1, "proj_b")], NOW)
    for _ in range(4):
        with pytest.raises(SettingsError):
            applier.apply()
    assert journal.unconfirmed() == Acks()
    assert config.read_text() == "broken"
    config.write_text(TEXT)
    _applier(ConfigFile(config), journal, read=read).apply()
    assert journal.unconfirmed() == Acks(applied=("dmut_1",))


def test_a_pool_that_is_well_again_is_removed(config: Path, journal: Journal) -> None:
    """The table is removed; nothing is unconfirmed; a repetition does nothing."""
    config.write_text(TEXT + "\n" + POOL)
    applier = _applier(ConfigFile(config), journal)
    for _ in range(2):
        outcomes, _ = applier.apply(restore_pool=True)
        assert outcomes == []
        assert "pool" not in tomllib.loads(config.read_text())
    assert journal.unconfirmed() == Acks()


def test_a_pool_deleted_in_the_same_answer_stays(config: Path, journal: Journal) -> None:
    """An "ok" from before the acknowledgement of a deletion is about another pool."""
    applier = _applier(ConfigFile(config), journal)
    deletion = _mutation(1, "pool.deleted", poolId="p2")
    journal.receive([deletion], NOW)
    applier.apply(restore_pool=True)
    assert tomllib.loads(config.read_text())["pool"]["id"] == "p2"
    applier.apply(restore_pool=True)
    assert tomllib.loads(config.read_text())["pool"]["id"] == "p2"
    journal.confirm(["dmut_1"], NOW)
    applier.apply(restore_pool=True)
    assert "pool" not in tomllib.loads(config.read_text())


@pytest.mark.parametrize(
    "pool", ['pool = { status = "deleted", id = "p" }\n', 'pool.id = "p"\n']
)
def test_a_pool_spelled_another_way_never_stops_the_rest(
    config: Path, journal: Journal, pool: str
) -> None:
    """Even if the pool cannot be removed, other mutations get their outcomes."""
    config.write_text(pool + TEXT)
    journal.receive([_add(1, "proj_b")], NOW)
    _applier(ConfigFile(config), journal).apply(restore_pool=True)
    assert journal.unconfirmed() == Acks(applied=("dmut_1",))


def test_a_full_disk_decides_nothing(
    config: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file stays whole and nothing is acknowledged; it works once there is space."""

    class FullFile(ConfigFile):
        def replace(self, before: Document, after: Document) -> None:
            raise StorageError("No space left on device")

    journal.receive([_add(1, "proj_b")], NOW)
    with pytest.raises(StorageError):
        _applier(FullFile(config), journal).apply()
    assert journal.unconfirmed() == Acks()
    assert config.read_text() == TEXT
    _applier(ConfigFile(config), journal).apply()
    assert journal.unconfirmed() == Acks(applied=("dmut_1",))
