"""What keeps a user from a file, and the command that fixes it."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from rensei_daemon.disk.permissions import (
    closed_directory,
    explain_unreadable,
    obstacle_to_reading,
)

NOBODY = 65534


@pytest.fixture
def folder() -> Iterator[Path]:
    """Make a folder that everybody may enter; pytest's own is shut to others."""
    with tempfile.TemporaryDirectory() as made:
        path = Path(made)
        path.chmod(0o755)
        yield path


def written(path: Path, mode: int) -> Path:
    """Write a file with this mode."""
    path.write_text("x")
    path.chmod(mode)
    return path


def test_what_may_be_read_has_no_obstacle(folder: Path) -> None:
    """Nor has a file that is missing, nor anything for root."""
    assert obstacle_to_reading(written(folder / "a", 0o644), NOBODY) is None
    assert obstacle_to_reading(folder / "none", NOBODY) is None
    assert obstacle_to_reading(written(folder / "b", 0), 0) is None


def test_a_file_of_somebody_else(folder: Path) -> None:
    """The fix makes the daemon's user its owner, by its number where it has no name."""
    path = written(folder / "key", 0o600)
    owner = path.owner()
    found = obstacle_to_reading(path, NOBODY)
    assert found is not None
    assert found.what == (
        f"{path}: it belongs to {owner}, and nobody may not read it (mode 0600)"
    )
    assert found.fix == f"chown nobody {path}"
    nameless = obstacle_to_reading(path, 4242)
    assert nameless is not None
    assert nameless.fix == f"chown 4242 {path}"


def test_an_own_file_that_nobody_may_read(folder: Path) -> None:
    """To own it is not enough; another owner would not help."""
    path = written(folder / "key", 0)
    uid = path.stat().st_uid
    found = obstacle_to_reading(path, uid)
    assert uid == 0 or (found and found.fix == f"chmod u+r {path}")


def test_a_directory_on_the_way(folder: Path) -> None:
    """The first one that is shut is named, not the file behind it."""
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    path = written(closed / "key", 0o600)
    found = obstacle_to_reading(path, NOBODY)
    assert found is not None
    assert found.what == f"{path}: nobody may not enter {closed}"
    assert found.fix == f"chmod o+x {closed}"


def test_a_place_that_services_cannot_see() -> None:
    """No mode opens it to a unit: the file has to go elsewhere."""
    found = closed_directory(Path("/root/a/key"), Path("/root/a"), NOBODY)
    assert found.what == "/root/a/key: nobody may not enter /root/a"
    assert found.fix == "move the file, for instance to /etc/rensei-daemon"


def test_an_error_without_a_visible_cause(folder: Path) -> None:
    """Modes allow it, and the system refused: a sandbox or an access list did."""
    path = written(folder / "key", 0o644)
    found = explain_unreadable(path, PermissionError(13, "Permission denied"))
    assert found.what == f"{path}: Permission denied"
    assert "the sandbox may hide it" in found.fix
    other = explain_unreadable(path, IsADirectoryError(21, "Is a directory"))
    assert (other.what, other.fix) == (
        f"{path}: Is a directory",
        f"look at it: ls -ld {path}",
    )
