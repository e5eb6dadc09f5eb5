"""A person who saves twice around one exchange: onto the old file, and onto ours."""

import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from deadlines import HANG_SECONDS

from rensei_daemon.core.document import Document
from rensei_daemon.disk.config_file import ConcurrentEditError, ConfigFile, LockTimeouts

BEFORE = Document("mode = 1\n")
AFTER = Document("mode = 2\n")


class RacedFile(ConfigFile):
    """A file with something going on just before the exchange, and just after it."""

    def __init__(
        self,
        path: Path,
        first: Callable[[Path], None],
        then: Callable[[Path], None] = lambda _: None,
    ) -> None:
        super().__init__(path, timeouts=LockTimeouts(writer_seconds=HANG_SECONDS))
        self._first = first
        self._then = [then]

    def _exchange(
        self, temporary: Path, target: Path, before: Document, after: Document
    ) -> None:
        self._first(target)
        super()._exchange(temporary, target, before, after)

    def _is_still(self, path: Path, document: Document) -> bool:
        while self._then:
            self._then.pop()(self.path)
        return super()._is_still(path, document)


def _save(text: str, path: Path) -> None:
    path.write_text(text)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A config file that says `BEFORE`."""
    path = tmp_path / "config.toml"
    path.write_text(BEFORE.text)
    return path


def test_a_file_held_open_goes_back_at_once(path: Path) -> None:
    """Our file is not in place while a writer is waited for: a save would hit it."""
    held: list[int] = []
    file = RacedFile(path, lambda p: held.append(os.open(p, os.O_WRONLY | os.O_APPEND)))
    started = time.monotonic()
    with pytest.raises(ConcurrentEditError):
        file.replace(BEFORE, AFTER)
    assert time.monotonic() - started < HANG_SECONDS
    with path.open("a") as second:
        second.write("# second\n")
    os.write(held[0], b"# first\n")
    os.close(held[0])
    assert path.read_text() == "mode = 1\n# second\n# first\n"


def test_two_saves_within_one_look_are_both_kept(path: Path) -> None:
    """The later one is the file, the earlier one lies beside it under a name of its own."""
    file = RacedFile(
        path,
        partial(_save, "# first\n"),
        partial(_save, "# second\n"),
    )
    with pytest.raises(ConcurrentEditError):
        file.replace(BEFORE, AFTER)
    assert path.read_text() == "# second\n"
    [aside] = path.parent.glob("config.toml.edited-*")
    assert aside.read_text() == "# first\n"


@pytest.mark.parametrize(
    ("today", "leftover", "expected", "aside"),
    [
        ("mode = 1\n", "mod", "mode = 1\n", []),
        ("mode = 2\n", "mode = 1\n", "mode = 2\n", []),
        ("mode = 2\n", "# first\n", "# first\n", []),
        ("# second\n", "mode = 2\n", "# second\n", []),
        ("# second\n", "# first\n", "# second\n", ["# first\n"]),
    ],
)
def test_after_a_crash_no_edit_is_thrown_away(
    path: Path, today: str, leftover: str, expected: str, aside: list[str]
) -> None:
    """Ours is removed, an edit goes back into the file, or beside a newer one."""
    path.write_text(today)
    path.with_name(".config.toml.0123456789ab.tmp").write_text(leftover)
    ConfigFile(path).recover(before=BEFORE.digest, after=AFTER.digest)
    assert path.read_text() == expected
    assert [p.read_text() for p in path.parent.glob("config.toml.edited-*")] == aside
    assert not list(path.parent.glob(".*.tmp"))
