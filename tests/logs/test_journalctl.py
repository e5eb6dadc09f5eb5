"""Whether there is a journal, and whether the user may read it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from needs import need
from privileges import as_nobody

from rensei_daemon.logs.journalctl import is_hidden


@pytest.fixture
def root() -> Iterator[Path]:
    """Return the parent of a host's directories, which a user without rights can enter."""
    need("root")
    place = Path(f"/tmp/rensei-test-{os.getpid()}-journal")  # noqa: S108 - tmp_path is closed to others
    place.mkdir()
    yield place
    for path in sorted(place.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    place.rmdir()


def journal(root: Path, place: str, *, mode: int = 0o640, directory: int = 0o755) -> None:
    """Create a journal like journald's."""
    folder = root / place / "0123456789abcdef"
    folder.mkdir(parents=True)
    file = folder / "system.journal"
    file.touch()
    file.chmod(mode)
    folder.parent.chmod(directory)


def hidden(root: Path) -> bool:
    """Ask as a user without rights."""
    with as_nobody():
        return is_hidden(root)


def test_no_journal(root: Path) -> None:
    """A host without a journal has none that is hidden."""
    assert not hidden(root)


@pytest.mark.parametrize("place", ["run/log/journal", "var/log/journal"])
@pytest.mark.parametrize(
    ("mode", "directory", "expected"),
    [(0o640, 0o755, True), (0o644, 0o755, False), (0o644, 0o750, True)],
)
def test_journal(root: Path, place: str, mode: int, directory: int, expected: bool) -> None:
    """Its file or directory may be closed to a user, but not to root."""
    journal(root, place, mode=mode, directory=directory)
    assert hidden(root) is expected
    assert not is_hidden(root)


def test_one_of_two(root: Path) -> None:
    """One readable journal is enough."""
    journal(root, "run/log/journal", directory=0o750)
    journal(root, "var/log/journal", mode=0o644)
    assert not hidden(root)
