"""The log file read back: the last lines that are wanted, then what comes.

A line that is no event (a crash wrote it, or somebody else) is passed on as the text it
is, unless something only an event can have was asked for; it is as old as the event
above it.
"""

import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import BinaryIO

from rensei_daemon.logs.formatting import LEVELS, Event
from rensei_daemon.logs.rotating_file import family

POLL_SECONDS = 0.2

Line = Event | str

_HEAD_BYTES = 200


@dataclass(frozen=True, slots=True)
class _Mark:
    """How far the log has been read: a file, how to know it again, and where in it."""

    identity: tuple[int, int]
    """Device and inode; the number of a deleted file may serve another."""
    head: bytes
    offset: int
    """After the last whole line."""


def _pause() -> None:
    time.sleep(POLL_SECONDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFilter:
    """Which events to show; what is None does not matter."""

    level: str | None = None
    event: str | None = None
    mutation: str | None = None
    session: str | None = None
    since: datetime | None = None

    def admits(self, line: Line) -> bool:
        """Tell whether a line is among those asked for.

        A text has no time: of those before and after it, whoever reads knows more.
        """
        if isinstance(line, str):
            return replace(self, since=None) == LogFilter()
        return (
            (self.level is None or _weight(line) >= LEVELS[self.level])
            and (self.event is None or fnmatchcase(str(line.get("event")), self.event))
            and (self.mutation in (None, line.get("mutation_id")))
            and (self.session in (None, line.get("session_id")))
            and (self.since is None or _is_after(line, self.since))
        )


def is_pattern(name: str) -> bool:
    """Tell whether an event was asked for by a pattern, as in `mutation.*`."""
    return any(mark in name for mark in "*?[")


def _weight(event: Event) -> int:
    return LEVELS.get(str(event.get("level")), LEVELS["info"])


def _is_after(event: Event, since: datetime) -> bool:
    try:
        moment = datetime.fromisoformat(str(event.get("timestamp")))
    except ValueError:
        return False
    return moment.replace(tzinfo=moment.tzinfo or UTC) >= since


def read_file(path: Path, wanted: LogFilter, count: int | None) -> Iterator[Line]:
    """Yield the last `count` wanted lines of the log and its predecessors."""
    with _opened(path) as files:
        yield from _last(files, wanted, count)


def follow_file(
    path: Path, wanted: LogFilter, count: int | None, pause: Callable[[], None] = _pause
) -> Iterator[Line]:
    """Yield the last lines, then each new one for ever, across rotations.

    `pause` is called between two looks at the file. A look begins where the last one
    ended, in the file that was the newest then, under whatever name it has by now.
    """
    with _opened(path) as files:
        yield from _last([_whole_lines(file) for file in files], wanted, count)
        mark = _mark(files)
    while True:
        pause()
        with _opened(path) as files:
            for file in _unread(files, mark):
                yield from _wanted(_whole_lines(file), wanted)
            mark = _mark(files)


@contextmanager
def _opened(path: Path) -> Iterator[list[BinaryIO]]:
    """Open the log and its predecessors, newest first, each once.

    A rotation while we open them shows us a file again under its next name.
    """
    files: dict[tuple[int, int], BinaryIO] = {}
    with ExitStack() as held:
        for name in family(path):
            with suppress(FileNotFoundError):
                file = held.enter_context(name.open("rb"))
                files.setdefault(_identity(file), file)
        yield list(files.values())


def _identity(file: BinaryIO) -> tuple[int, int]:
    status = os.fstat(file.fileno())
    return status.st_dev, status.st_ino


def _mark(files: Sequence[BinaryIO]) -> _Mark | None:
    if not files:
        return None
    offset = files[0].tell()
    return _Mark(_identity(files[0]), _head(files[0]), offset)


def _head(file: BinaryIO) -> bytes:
    return os.pread(file.fileno(), _HEAD_BYTES, 0)


def _unread(files: Sequence[BinaryIO], mark: _Mark | None) -> list[BinaryIO]:
    """Return the files with lines after a mark, oldest first, each at its first one."""
    unread: list[BinaryIO] = []
    for file in files:
        unread.insert(0, file)
        if mark and _identity(file) == mark.identity:
            # Emptied in place, or another file under a used number: all of it is new.
            is_same = _head(file).startswith(mark.head)
            if is_same and os.fstat(file.fileno()).st_size >= mark.offset:
                file.seek(mark.offset)
            break
    return unread


def _last(
    newest_first: Iterable[Iterable[bytes]], wanted: LogFilter, count: int | None
) -> list[Line]:
    found: list[Line] = []
    for lines in newest_first:
        missing = None if count is None else count - len(found)
        found[:0] = deque(_wanted(lines, wanted), maxlen=missing)
        if len(found) == count:
            break
    return found


def _whole_lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield complete lines; half a line stays in the file until its end is there."""
    while line := file.readline():
        if not line.endswith(b"\n"):
            file.seek(-len(line), os.SEEK_CUR)
            return
        yield line


def _wanted(lines: Iterable[bytes], wanted: LogFilter) -> Iterator[Line]:
    is_in_time = wanted.since is None
    for raw in lines:
        line = parse_line(raw)
        if not line:
            continue
        if isinstance(line, str):
            # As old as what stands above it: a traceback belongs to its event.
            is_wanted = is_in_time and wanted.admits(line)
        else:
            is_in_time = wanted.since is None or _is_after(line, wanted.since)
            is_wanted = wanted.admits(line)
        if is_wanted:
            yield line


def parse_line(raw: bytes) -> Line:
    """Return the event in a line of JSON, or the line's text when it is none."""
    text = raw.decode(errors="replace").rstrip("\r\n")
    try:
        event = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return event if isinstance(event, dict) else text
