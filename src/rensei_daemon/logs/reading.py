"""The log file read back: the last lines that are wanted, then what comes.

A line that is no event (a crash wrote it, or somebody else) is passed on as the text it
is, unless something only an event can have was asked for.
"""

import json
import os
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import BinaryIO

from rensei_daemon.logs.rendering import LEVELS, Event
from rensei_daemon.logs.rotation import family

POLL_SECONDS = 0.2

Line = Event | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which events to show; what is None does not matter."""

    level: str | None = None
    event: str | None = None
    mutation: str | None = None
    session: str | None = None
    since: datetime | None = None

    def admits(self, line: Line) -> bool:
        """Tell whether a line is among those asked for."""
        if isinstance(line, str):
            return self == Wanted()
        return (
            (self.level is None or _weight(line) >= LEVELS[self.level])
            and (self.event is None or fnmatchcase(str(line.get("event")), self.event))
            and (self.mutation in (None, line.get("mutation_id")))
            and (self.session in (None, line.get("session_id")))
            and (self.since is None or _is_after(line, self.since))
        )


def _weight(event: Event) -> int:
    return LEVELS.get(str(event.get("level")), LEVELS["info"])


def _is_after(event: Event, since: datetime) -> bool:
    try:
        moment = datetime.fromisoformat(str(event.get("timestamp")))
    except ValueError:
        return False
    return moment.replace(tzinfo=moment.tzinfo or UTC) >= since


def read_file(path: Path, wanted: Wanted, count: int | None) -> list[Line]:
    """Return the last `count` wanted lines of the log and its predecessors."""
    with ExitStack() as held:
        files = [held.enter_context(file) for file in _open_family(path)]
        return _last(files, wanted, count)


def follow_file(path: Path, wanted: Wanted, count: int | None) -> Iterator[Line]:
    """Yield the last lines, then each new one for ever, across rotations."""
    files = _open_family(path)
    # The newest file is read to its end and kept, so that no line falls in between.
    whole = [_whole_lines(file) for file in files]
    yield from _last(whole, wanted, count)
    for older in files[1:]:
        older.close()
    file = files[0] if files else _wait_for(path)
    while True:
        yield from _wanted(_whole_lines(file), wanted)
        if _is_current(file, path):
            time.sleep(POLL_SECONDS)
            continue
        # Renamed meanwhile: finish it, then go on with its successors.
        yield from _wanted(_whole_lines(file), wanted)
        *passed, newest = _successors(file, path)
        for between in passed:
            yield from _wanted(_whole_lines(between), wanted)
            between.close()
        file.close()
        file = newest


def _successors(file: BinaryIO, path: Path) -> list[BinaryIO]:
    """Return the files that were begun after this one, oldest first.

    Never none: a file without a successor was emptied in place, and is opened anew.
    """
    held = os.fstat(file.fileno())
    newer: list[BinaryIO] = []
    for candidate in (family_files := _open_family(path)):
        if os.path.samestat(held, os.fstat(candidate.fileno())):
            break
        newer.insert(0, candidate)
    for other in family_files:
        if other not in newer:
            other.close()
    return newer or [_wait_for(path)]


def _open_family(path: Path) -> list[BinaryIO]:
    """Open the log and its predecessors, newest first, each once.

    A rotation while we open them shows us a file again under its next name.
    """
    files: dict[tuple[int, int], BinaryIO] = {}
    for name in family(path):
        try:
            file: BinaryIO = name.open("rb")
        except FileNotFoundError:
            continue
        status = os.fstat(file.fileno())
        if files.setdefault((status.st_dev, status.st_ino), file) is not file:
            file.close()
    return list(files.values())


def _last(
    newest_first: Iterable[Iterable[bytes]], wanted: Wanted, count: int | None
) -> list[Line]:
    found: list[Line] = []
    for lines in newest_first:
        missing = None if count is None else count - len(found)
        found[:0] = deque(_wanted(lines, wanted), maxlen=missing)
        if len(found) == count:
            break
    return found


def _wait_for(path: Path) -> BinaryIO:
    while True:
        try:
            return path.open("rb")
        except FileNotFoundError:
            time.sleep(POLL_SECONDS)


def _is_current(file: BinaryIO, path: Path) -> bool:
    held = os.fstat(file.fileno())
    try:
        there = path.stat()
    except FileNotFoundError:
        return True  # between the two renames, or gone for good: wait and see
    return os.path.samestat(held, there) and there.st_size >= file.tell()


def _whole_lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield complete lines; half a line stays in the file until its end is there."""
    while line := file.readline():
        if not line.endswith(b"\n"):
            file.seek(-len(line), os.SEEK_CUR)
            return
        yield line


def _wanted(lines: Iterable[bytes], wanted: Wanted) -> Iterator[Line]:
    for raw in lines:
        line = parse_line(raw)
        if line and wanted.admits(line):
            yield line


def parse_line(raw: bytes) -> Line:
    """Return the event in a line of JSON, or the line's text when it is none."""
    text = raw.decode(errors="replace").rstrip("\r\n")
    try:
        event = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return event if isinstance(event, dict) else text
