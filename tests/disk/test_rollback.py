"""What a rollback makes of the file, on real files and a real journal."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from journals import open_journal
from valid_texts import accept, read_valid

from rensei_daemon.core.guards import Guards
from rensei_daemon.core.pending_mutation import PendingMutation
from rensei_daemon.disk.applier import Applier
from rensei_daemon.disk.config_file import ConfigFile
from rensei_daemon.disk.journal import Journal
from rensei_daemon.errors import ConflictingMutationError
from rensei_daemon.settings.values import Settings

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
HEAD = "# ours\n[log]\nlevel = 'debug' # OPS-7"

Apply = Callable[..., str]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A config that no mutation has written yet, without a final newline."""
    path = tmp_path / "config.toml"
    path.write_text(HEAD)
    return path


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """An empty journal."""
    with open_journal(tmp_path / "journal.db", now=NOW) as (journal, _):
        yield journal


@pytest.fixture
def applier(config: Path, journal: Journal) -> Applier[Settings]:
    """Applies to that file."""
    file = ConfigFile(config)
    return Applier(
        file,
        journal,
        read=lambda: read_valid(file),
        accept=accept,
        guards=lambda: Guards(allow=["*"]),
        boot_id="boot",
        now=lambda: NOW,
    )


@pytest.fixture
def apply(config: Path, journal: Journal, applier: Applier[Settings]) -> Apply:
    """Apply mutations together; return the text after them."""
    numbers = iter(range(1000))

    def apply(*asked: tuple[str, dict[str, Any]]) -> str:
        delivered = [
            PendingMutation(id=f"dmut_{next(numbers)}", op=op, params=params)
            for op, params in asked
        ]
        journal.receive(delivered, NOW)
        outcomes, _ = applier.apply()
        assert [outcome.error for outcome in outcomes] == [""] * len(asked)
        return config.read_text()

    return apply


def _rows(workload: str, **rows: str) -> tuple[str, dict[str, Any]]:
    matrix = {row: {mode: {"allowed": True}} for row, mode in rows.items()}
    return "modelAccess.set", {"workload": workload, "policy": {"matrix": matrix}}


def test_rows_come_back_to_the_very_bytes(
    config: Path, applier: Applier[Settings], apply: Apply
) -> None:
    """Three rows replaced by one and rolled back; then the three rolled back to none."""
    three = apply(_rows("qa", a="byok", b="byok", c="byok"))
    apply(_rows("qa", a="metered"))
    applier.roll_back(2, requested_by="ada")
    assert config.read_text() == three
    applier.roll_back(1, requested_by="ada")
    assert config.read_text() == HEAD


def test_rows_come_back_when_no_text_is_kept(
    config: Path, journal: Journal, applier: Applier[Settings], apply: Apply
) -> None:
    """Lines are inserted before sections if both go to the same place."""
    apply(_rows("qa", a="byok", b="byok", c="byok"))
    apply(_rows("qa", a="metered"))
    config.write_text("# a hand edit\n" + config.read_text())
    applier.roll_back(2, requested_by="ada")
    assert config.read_text() == (
        f"# a hand edit\n{HEAD}\n\n"
        "[model_access.workloads.qa.matrix.a]\nbyok = { allowed = true }\n\n"
        "[model_access.workloads.qa.matrix.c]\nbyok = { allowed = true }\n\n"
        "[model_access.workloads.qa.matrix.b]\nbyok = { allowed = true }\n"
    )


def test_the_newest_of_a_batch_goes_as_if_it_had_never_come(
    config: Path, applier: Applier[Settings], apply: Apply
) -> None:
    """The rest of its batch stays as it would be without it, with comments."""
    config.write_text("[projects]\n# ours\na = { enabled = false } # asked for\n\n# end\n")
    alone = ("project.enable", {"id": "a"}), ("project.enable", {"id": "b"})
    without = apply(*alone)
    for number in (2, 1):
        applier.roll_back(number, requested_by="ada")
    apply(*alone, ("project.remove", {"id": "a"}))
    applier.roll_back(7, requested_by="ada")
    assert config.read_text() == without


def test_what_a_person_changed_since_is_not_rolled_over(
    config: Path, applier: Applier[Settings], apply: Apply
) -> None:
    """The error shows how today's entry differs; the file stays as it is."""
    apply(("project.enable", {"id": "a"}))
    edited = config.read_text().replace("repositories = []", 'repositories = ["r"]')
    config.write_text(edited)
    with pytest.raises(ConflictingMutationError, match="today it is"):
        applier.roll_back(1, requested_by="ada")
    assert config.read_text() == edited
