"""Reads the log of the unit with journalctl, which follows it and checks permissions."""

import json
import os
import subprocess
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from rensei_daemon.logs.file_reader import Line, LogFilter, is_pattern
from rensei_daemon.logs.systemd_journal import decode, match

UNIT = "rensei-daemon"
_UNIT_OPTIONS = {"system": f"--unit={UNIT}", "user": f"--user-unit={UNIT}"}


def has_entries(scope: str) -> bool:
    """Whether the journal has entries of the unit that this user may read."""
    try:
        done = subprocess.run(  # noqa: S603 - no word of the user's is in it
            [*_journalctl(scope), "--lines=1"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and bool(done.stdout.strip())


def read_unit(
    scope: str, wanted: LogFilter, count: int | None, *, follow: bool
) -> Iterator[Line]:
    """Yield the last `count` matching entries of the unit, then new ones if `follow`."""
    cursor = ""
    history: deque[Line] = deque(maxlen=count)
    for entry in _entries(scope, _narrowed(wanted, count)):
        cursor = str(entry.get("__CURSOR", ""))
        event = decode(entry)
        if wanted.admits(event):
            history.append(event)
    yield from history
    if follow:
        start = [f"--after-cursor={cursor}", "--no-tail"] if cursor else ["--lines=0"]
        for entry in _entries(scope, ["--follow", *start, *_matches(wanted)]):
            event = decode(entry)
            if wanted.admits(event):
                yield event


def is_hidden(root: Path = Path("/")) -> bool:
    """Whether this host has a journal that this user may not read."""
    places = [root / place for place in ("run/log/journal", "var/log/journal")]
    directories = [*places, *(host for place in places for host in place.glob("*"))]
    journals = [directory / "system.journal" for directory in directories]
    if any(_may(os.R_OK, journal) for journal in journals):
        return False
    found = (path for path in (*directories, *journals) if _may(os.F_OK, path))
    return not all(_may(os.R_OK, path) for path in found)


def _may(do: int, path: Path) -> bool:
    return os.access(path, do, effective_ids=True)


def _narrowed(wanted: LogFilter, count: int | None) -> list[str]:
    """Return the options by which journalctl itself filters entries."""
    words: list[str] = []
    if wanted.since is not None:
        words.append(f"--since=@{wanted.since.timestamp():.6f}")
    elif count is not None and wanted == LogFilter():
        words.append(f"--lines={count}")
    return words + _matches(wanted)


def _matches(wanted: LogFilter) -> list[str]:
    event = wanted.event
    exact = {
        "event": None if event is None or is_pattern(event) else event,
        "mutation_id": wanted.mutation,
        "session_id": wanted.session,
    }
    fields = [match(key, value) for key, value in exact.items() if value is not None]
    # An entry from stdout may be a line of JSON, whose fields journalctl does not know.
    return [*fields, "+", "_TRANSPORT=stdout"] if fields else []


def _entries(scope: str, options: list[str]) -> Iterator[Mapping[str, object]]:
    words = [*_journalctl(scope), *options]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as journal:  # noqa: S603 - no shell reads it
        assert journal.stdout is not None  # noqa: S101 - PIPE was asked for
        try:
            for raw in journal.stdout:
                with suppress(
                    ValueError
                ):  # incomplete: journalctl was ended while it wrote
                    yield json.loads(raw)
        finally:
            journal.terminate()


def _journalctl(scope: str) -> list[str]:
    return [
        "journalctl",
        _UNIT_OPTIONS[scope],
        "--output=json",
        "--all",
        "--quiet",
        "--no-pager",
    ]
