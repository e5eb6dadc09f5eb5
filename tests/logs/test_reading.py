"""The log read back."""

import itertools
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from queue import Queue

import pytest

from rensei_daemon.logs.reading import Line, Wanted, follow_file, parse_line, read_file
from rensei_daemon.logs.rotation import RotatingFile

ALL = Wanted()


def line(number: int, **keys: object) -> bytes:
    """Return a line of the log."""
    return json.dumps({"event": "e", "n": number} | keys).encode() + b"\n"


def numbers(lines: list[Line]) -> list[object]:
    """Return which lines these are."""
    return [text if isinstance(text, str) else text["n"] for text in lines]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Write nine lines into three files."""
    path = tmp_path / "log.jsonl"
    size = len(line(0))
    file = RotatingFile(path, max_bytes=3 * size)
    for number in range(9):
        file.write(line(number))
    file.close()
    return path


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, []),
        (2, [7, 8]),
        (5, [4, 5, 6, 7, 8]),
        (50, [*range(9)]),
        (None, [*range(9)]),
    ],
)
def test_last_lines(path: Path, count: int | None, expected: list[int]) -> None:
    """The last lines are found across rotated files, in order."""
    assert numbers(read_file(path, ALL, count)) == expected


def test_foreign_lines(tmp_path: Path) -> None:
    """A line that is no event is passed on as it is, even without its end."""
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"Killed\n\n[1]\n" + line(1) + b'{"event": "ha\xff')
    assert numbers(read_file(path, ALL, 50)) == [
        "Killed",
        "[1]",
        1,
        '{"event": "ha\ufffd',
    ]
    assert numbers(read_file(path, Wanted(level="info"), 50)) == [1]


def test_missing(tmp_path: Path) -> None:
    """Without a log there are no lines."""
    assert read_file(tmp_path / "log.jsonl", ALL, 50) == []


EVENT = {
    "timestamp": "2026-11-23T16:00:00.000Z",
    "level": "warning",
    "event": "mutation.applied",
    "mutation_id": "dmut_1",
    "session_id": "build",
}


@pytest.mark.parametrize(
    "wanted",
    [
        Wanted(),
        Wanted(level="warning"),
        Wanted(event="mutation.applied"),
        Wanted(event="mutation.*"),
        Wanted(mutation="dmut_1"),
        Wanted(session="build", level="debug"),
        Wanted(since=datetime(2026, 11, 23, 16, tzinfo=UTC)),
    ],
)
def test_wanted(wanted: Wanted) -> None:
    """An event that fits what was asked for is shown."""
    assert wanted.admits(EVENT)


@pytest.mark.parametrize(
    "wanted",
    [
        Wanted(level="error"),
        Wanted(event="mutation"),
        Wanted(mutation="dmut_2"),
        Wanted(session="other"),
        Wanted(since=datetime(2026, 11, 23, 16, 0, 1, tzinfo=UTC)),
    ],
)
def test_unwanted(wanted: Wanted) -> None:
    """An event that does not fit is not shown."""
    assert not wanted.admits(EVENT)


def test_undated() -> None:
    """An event without a time is not after any time."""
    assert not Wanted(since=datetime(1970, 1, 1, tzinfo=UTC)).admits({"event": "e"})


@pytest.mark.parametrize("raw", [b"[" * 100_000, b"3", b"\xff", b"{"])
def test_parse_text(raw: bytes) -> None:
    """Whatever is no JSON object is text."""
    assert isinstance(parse_line(raw), str)


class Follower:
    """Follows a log in a thread, so that a test can wait for its lines."""

    def __init__(self, lines: Iterator[Line]) -> None:
        self._lines = lines
        self._seen: Queue[Line] = Queue()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        for text in self._lines:
            self._seen.put(text)

    def take(self, count: int) -> list[object]:
        return numbers([self._seen.get(timeout=5) for _ in range(count)])

    def is_quiet(self) -> bool:
        return self._seen.empty()


def test_follow(path: Path) -> None:
    """Following shows the last lines, then each new one as soon as it is whole."""
    follower = Follower(follow_file(path, ALL, 2))
    assert follower.take(2) == [7, 8]
    with path.open("ab", buffering=0) as file:
        file.write(line(9) + line(10)[:5])
        assert follower.take(1) == [9]
        file.write(line(10)[5:])
    assert follower.take(1) == [10]


def test_follow_across_rotations(path: Path) -> None:
    """No line is lost or shown twice, though two rotations come between two looks."""
    follower = Follower(follow_file(path, ALL, None))
    assert follower.take(9) == [*range(9)]
    held = path.stat().st_ino
    file = RotatingFile(path, max_bytes=1400)
    for number in range(10, 130):
        file.write(line(number))
    file.close()
    assert path.with_name("log.jsonl.2").stat().st_ino == held
    assert follower.take(120) == [*range(10, 130)]
    assert follower.is_quiet()


def test_follow_nothing_before(path: Path) -> None:
    """With no lines to begin with, only what comes is shown."""
    lines = follow_file(path, ALL, 0)
    follower = Follower(lines)
    file = RotatingFile(path)
    for number in itertools.count(9):
        file.write(line(number))
        if not follower.is_quiet():
            break
    file.close()
    first = follower.take(1)[0]
    assert isinstance(first, int)
    assert first >= 9


def test_follow_truncated(path: Path) -> None:
    """A file that somebody emptied is read from its start again."""
    follower = Follower(follow_file(path, ALL, 1))
    assert follower.take(1) == [8]
    path.write_bytes(line(1))
    assert follower.take(1) == [1]
