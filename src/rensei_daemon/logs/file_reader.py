"""Reads the log file: the last lines that match a filter, then new ones.

A line that is not an event (such as a traceback of a crash) is returned as text, unless
the filter asks for fields of events. Its time is that of the event above it.
"""

import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import BinaryIO

from rensei_daemon.fast_dataclass import dataclass, replace
from rensei_daemon.locations import log_files
from rensei_daemon.logs.formatting import LEVELS, Event

POLL_SECONDS = 0.2

Line = Event | str

_HEAD_BYTES = 200


@dataclass(frozen=True, slots=True)
class _Mark:
    """How far the log has been read: a file and a position in it."""

    identity: tuple[int, int]
    """Device and inode; a new file may get the inode of a deleted one."""
    head: bytes
    offset: int
    """After the last whole line."""


def _pause() -> None:
    time.sleep(POLL_SECONDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFilter:
    """Which events to return; None matches everything."""

    level: str | None = None
    event: str | None = None
    mutation: str | None = None
    session: str | None = None
    since: datetime | None = None

    def admits(self, line: Line) -> bool:
        """Whether a line matches; the time of a text is checked by the caller."""
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
    """Whether an event matches a pattern such as `mutation.*`."""
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
    """Yield the last `count` matching lines of the log and its predecessors."""
    with _opened(path) as files:
        yield from _last(files, wanted, count)


def follow_file(
    path: Path, wanted: LogFilter, count: int | None, pause: Callable[[], None] = _pause
) -> Iterator[Line]:
    """Yield the last lines, then each new one, across rotations; never return.

    `pause` is called between two reads. Each read continues where the last one ended, in
    the same file, even if it was renamed meanwhile.
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

    After a rotation during this call a file is found again under its next name.
    """
    files: dict[tuple[int, int], BinaryIO] = {}
    with ExitStack() as held:
        for name in log_files(path):
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
    """Return the files with lines after the mark, oldest first, at the first such line."""
    unread: list[BinaryIO] = []
    for file in files:
        unread.insert(0, file)
        if mark and _identity(file) == mark.identity:
            # Truncated, or a new file with the same inode: all of it is new.
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
    """Yield complete lines; an incomplete one is read later."""
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
            # Its time is that of the event above it: a traceback belongs to its event.
            is_wanted = is_in_time and wanted.admits(line)
        else:
            is_in_time = wanted.since is None or _is_after(line, wanted.since)
            is_wanted = wanted.admits(line)
        if is_wanted:
            yield line


def parse_line(raw: bytes) -> Line:
    """Return the event of a line of JSON, or the line as text."""
    text = raw.decode(errors="replace").rstrip("\r\n")
    try:
        event = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return event if isinstance(event, dict) else text
