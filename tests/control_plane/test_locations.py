"""Where the control plane keeps its files."""

from pathlib import Path

import pytest
from privileges import as_nobody

from rensei_platform.locations import SYSTEM_STATE, state_directory

HOME = {"HOME": "/home/ada"}


@pytest.mark.parametrize(
    ("environ", "uid", "expected"),
    [
        (HOME, 0, SYSTEM_STATE),
        (HOME | {"RENSEI_PLATFORM_STATE_DIRECTORY": "/srv/state"}, 0, Path("/srv/state")),
        (HOME, 1000, Path("/home/ada/.local/state/rensei-platform")),
        (HOME | {"XDG_STATE_HOME": "/state"}, 1000, Path("/state/rensei-platform")),
        (
            HOME | {"XDG_STATE_HOME": "state"},
            1000,
            Path("/home/ada/.local/state/rensei-platform"),
        ),
    ],
)
def test_state_directory(environ: dict[str, str], uid: int, expected: Path) -> None:
    """Root has the system's directory, another user their own; a variable decides."""
    absent = Path("/nonexistent") if uid else SYSTEM_STATE
    assert state_directory(environ, uid, absent) == expected


def test_owner_of_the_systems_directory_uses_it(tmp_path: Path) -> None:
    """The service's user is not root, and finds what root's `init` has left for it."""
    assert state_directory(HOME, 1000, tmp_path) == tmp_path


@pytest.mark.needs("root")
def test_stranger_to_the_systems_directory_has_their_own(tmp_path: Path) -> None:
    """A directory that a user may not write to is not theirs."""
    with as_nobody():
        found = state_directory(HOME, 1000, tmp_path)
    assert found == Path("/home/ada/.local/state/rensei-platform")
