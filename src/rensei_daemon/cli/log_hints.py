"""The messages of `logs` if there is nothing to show: why, and what to try."""

import re
from fnmatch import fnmatchcase
from pathlib import Path

from rensei_daemon.cli.package_files import package_file
from rensei_daemon.cli.terminal import clean
from rensei_daemon.core.spelling import nearest
from rensei_daemon.disk.user_groups import group_exists
from rensei_daemon.errors import NotPermittedError, RenseiError
from rensei_daemon.logs.file_reader import LogFilter
from rensei_daemon.logs.journalctl import is_hidden

CATALOGUE = "docs/events.md"
JOURNAL_GROUPS = ("systemd-journal", "adm")

_ROW = re.compile(r"^\| `([a-z_.]+)` \|", re.MULTILINE)


def known_events() -> list[str]:
    """Return the names of all events, from the catalogue."""
    try:
        return _ROW.findall(package_file(CATALOGUE))
    except RenseiError:  # an installation without the catalogue can still show the log
        return []


def unknown_event(wanted: LogFilter) -> str:
    """Return the error if there is no such event; empty if there is."""
    name, known = wanted.event, known_events() if wanted.event else []
    if name is None or not known or any(fnmatchcase(event, name) for event in known):
        return ""
    guess = nearest(name, known)
    likely = f" ({guess})" if guess else ""
    return f"no event is called {clean(name)}{likely}; see {CATALOGUE}"


def nothing_found(wanted: LogFilter) -> str:
    """Return a message in place of a log, in two lines."""
    if wanted == LogFilter():
        return "the log is empty\n  see whether the daemon runs: rensei-daemon status"
    if advice := unknown_event(wanted):
        return f"nothing in the log matches\n  {advice}"
    if wanted.level == "debug":
        advice = "debug is logged when asked for: rensei-daemon logs --set-level debug"
    elif wanted.since is not None:
        advice = "look further back: a longer --since, or -n N without it"
    else:
        advice = "leave out an option, or see all of it: rensei-daemon logs"
    return f"nothing in the log matches\n  {advice}"


def no_log(path: Path, *, asked_for: bool, scope: str | None) -> RenseiError:
    """Return the error for a log that is missing, or that this user may not read."""
    if scope and not asked_for and is_hidden():
        groups = [name for name in JOURNAL_GROUPS if group_exists(name)]
        join = f"join the group {groups[0]}" if groups else "ask who may"
        others = f" (or {groups[1]})" if groups[1:] else ""
        return NotPermittedError(
            "the journal of the unit cannot be read: permission denied",
            hint=f"run this as root, or {join}{others} and log in again",
        )
    try:
        path.open("rb").close()
    except PermissionError:
        return NotPermittedError(
            f"{path} cannot be read: permission denied",
            hint="run this as root, or the daemon's user",
        )
    except FileNotFoundError:
        pass
    except OSError as error:
        return RenseiError(f"{path} cannot be read: {error.strerror}")
    if asked_for:
        return RenseiError(
            f"there is no {path}", hint="see [log].file in the configuration"
        )
    return RenseiError(
        f"there is no log: the journal has no entries of the unit, and no {path}",
        hint="a daemon on a terminal logs there, one with [log].file: rensei-daemon logs "
        "--file PATH; see whether one runs: rensei-daemon status",
    )
