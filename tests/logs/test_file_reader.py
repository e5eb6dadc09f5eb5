"""Reading the log file."""

import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rensei_daemon.logs.file_reader import (
    Line,
    LogFilter,
    follow_file,
    parse_line,
    read_file,
)
from rensei_daemon.logs.rotating_file import RotatingFile

ALL = LogFilter()


def line(number: int, **keys: object) -> bytes:
    """Return a line of the log."""
    return json.dumps({"event": "e", "n": number} | keys).encode() + b"\n"


def numbers(lines: Iterable[Line]) -> list[object]:
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
    """A line that is no event is returned as text, even without a line break."""
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"Killed\n\n[1]\n" + line(1) + b'{"event": "ha\xff')
    assert numbers(read_file(path, ALL, 50)) == [
        "Killed",
        "[1]",
        1,
        '{"event": "ha\ufffd',
    ]
    assert numbers(read_file(path, LogFilter(level="info"), 50)) == [1]


def test_missing(tmp_path: Path) -> None:
    """Without a log there are no lines."""
    assert numbers(read_file(tmp_path / "log.jsonl", ALL, 50)) == []


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
        LogFilter(),
        LogFilter(level="warning"),
        LogFilter(event="mutation.applied"),
        LogFilter(event="mutation.*"),
        LogFilter(mutation="dmut_1"),
        LogFilter(session="build", level="debug"),
        LogFilter(since=datetime(2026, 11, 23, 16, tzinfo=UTC)),
    ],
)
def test_wanted(wanted: LogFilter) -> None:
    """An event that matches the filter is returned."""
    assert wanted.admits(EVENT)


@pytest.mark.parametrize(
    "wanted",
    [
        LogFilter(level="error"),
        LogFilter(event="mutation"),
        LogFilter(mutation="dmut_2"),
        LogFilter(session="other"),
        LogFilter(since=datetime(2026, 11, 23, 16, 0, 1, tzinfo=UTC)),
    ],
)
def test_unwanted(wanted: LogFilter) -> None:
    """An event that does not match is not returned."""
    assert not wanted.admits(EVENT)


def test_undated() -> None:
    """An event without a time is not after any time."""
    assert not LogFilter(since=datetime(1970, 1, 1, tzinfo=UTC)).admits({"event": "e"})


@pytest.mark.parametrize("raw", [b"[" * 100_000, b"3", b"\xff", b"{"])
def test_parse_text(raw: bytes) -> None:
    """Any line that is no JSON object is text."""
    assert isinstance(parse_line(raw), str)


class EndOfScriptError(Exception):
    """The script has no more steps."""


def followed(path: Path, count: int | None, *script: Callable[[], None]) -> list[object]:
    """Follow a log while the steps run between reads; return what was shown."""
    steps = iter(script)

    def pause() -> None:
        step = next(steps, None)
        if step is None:
            raise EndOfScriptError
        step()

    shown: list[Line] = []
    with suppress(EndOfScriptError):
        for text in follow_file(path, ALL, count, pause):
            shown.append(text)
    return numbers(shown)


def append(path: Path, text: bytes) -> Callable[[], None]:
    """Return a step that appends to a file."""

    def step() -> None:
        with path.open("ab") as file:
            file.write(text)

    return step


def log(path: Path, lines: range, max_bytes: int) -> Callable[[], None]:
    """Return a step that logs lines into a file that is rotated."""

    def step() -> None:
        file = RotatingFile(path, max_bytes=max_bytes)
        for number in lines:
            file.write(line(number))
        file.close()

    return step


def test_follow(path: Path) -> None:
    """Following shows the last lines, then each new one once it is complete."""
    begun, ended = line(10)[:5], line(10)[5:]
    assert followed(path, 2, append(path, line(9) + begun)) == [7, 8, 9]
    assert followed(path, 2, append(path, ended)) == [8, 9, 10]


def test_follow_across_rotations(path: Path) -> None:
    """No line is lost or repeated, even with two rotations between two reads."""
    held = path.stat().st_ino
    steps = [log(path, range(10, 130), 1400), log(path, range(130, 140), 1400)]
    assert followed(path, None, *steps) == [*range(9), *range(10, 140)]
    assert path.with_name("log.jsonl.2").stat().st_ino == held


def test_follow_many_rotations(path: Path) -> None:
    """If more was rotated than is kept, the newest lines are shown whole."""
    shown = followed(path, 0, log(path, range(100, 200), 250))
    assert shown == [*range(200 - len(shown), 200)]
    assert shown


def test_follow_nothing_before(path: Path) -> None:
    """With a count of 0 only new lines are shown."""
    assert followed(path, 0, append(path, line(9)), append(path, line(10))) == [9, 10]


def test_follow_emptied(path: Path) -> None:
    """A truncated file is read from its start."""

    def empty() -> None:
        path.write_bytes(line(1))

    assert followed(path, 1, empty) == [8, 1]


def test_follow_missing(tmp_path: Path) -> None:
    """A log that is created later is shown from its start."""
    path = tmp_path / "log.jsonl"
    assert followed(path, 5, lambda: None, append(path, line(1))) == [1]
