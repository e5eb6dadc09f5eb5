"""A session's directory of files: every file of it, and the link that leads there.

`delivery.file_directory` draws what it should look like.
"""

import os
import stat
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from rensei_daemon.delivery.file_directory import CURRENT, directory_mode
from rensei_daemon.doctor.context import DoctorContext
from rensei_daemon.doctor.file_access import compare_access
from rensei_daemon.doctor.result import CheckResult, failed
from rensei_daemon.errors import DeliveryError
from rensei_daemon.settings.values import File

MOST_FOUND = 5
"""Troubles of one directory that are named; a session has up to 5,000 names."""


def check_directory(
    case: DoctorContext, path: Path, session_id: str, file: File
) -> Iterator[CheckResult]:
    """Return what is wrong with a directory, or in it.

    One that does not exist, or that this user may not list, is none of these.
    """
    try:
        troubles = _troubles(case, path, session_id, file)
        yield from islice(troubles, MOST_FOUND)
        if more := sum(1 for _ in troubles):
            yield failed("files", f"{path} has {more} more of these", f"ls -lR {path}/")
    except OSError:
        return


def _troubles(
    case: DoctorContext, path: Path, session_id: str, file: File
) -> Iterator[CheckResult]:
    mode, found = directory_mode(file.permissions), path.lstat()
    if not stat.S_ISDIR(found.st_mode):
        yield _not_ours(case, path)
        return
    yield from compare_access(case, path, found, mode, file.group)
    linked, current = _names(path), path / CURRENT
    generation = _target(current)
    if not generation.startswith("..") or "/" in generation:
        yield _not_ours(case, current)
        return
    yield from compare_access(case, current, current.stat(), mode, file.group)
    held, expected = _names(current), _expected(case, session_id, file)
    for name in sorted({n for n in linked if _leads(path, n)} | held | expected):
        if name not in linked:
            yield _missing(case, path / name)
        elif not _leads(path, name):
            yield _not_ours(case, path / name)
        elif name not in held:
            yield _missing(case, path / name)
        else:
            yield from _file(case, current / name, file)


def _file(case: DoctorContext, path: Path, file: File) -> Iterator[CheckResult]:
    found = path.lstat()
    if stat.S_ISREG(found.st_mode):
        yield from compare_access(case, path, found, file.permissions, file.group)
    else:
        yield _not_ours(case, path)


def _expected(case: DoctorContext, session_id: str, file: File) -> set[str]:
    """Return the names that a running daemon says the session has, as in the directory."""
    sessions = case.status["sessions"] if case.status else ()
    names = {
        name: ""
        for one in sessions
        if one["id"] == session_id
        for name in one.get("names", ())
    }
    try:
        return set(file.content.values(names)) if names else set()
    except DeliveryError:  # it is among the conditions of the status
        return set()


def _names(directory: Path) -> set[str]:
    return {name for name in os.listdir(directory) if not name.startswith("..")}  # noqa: PTH208


def _leads(path: Path, name: str) -> bool:
    """Whether a name is a link to the newest file of this name."""
    return _target(path / name) == f"{CURRENT}/{name}"


def _target(link: Path) -> str:
    """Return where a link leads; empty for anything else."""
    try:
        return str(link.readlink())
    except OSError:
        return ""


def _missing(case: DoctorContext, path: Path) -> CheckResult:
    return failed("files", f"{path} is missing: workers do not find it", _again(case))


def _not_ours(case: DoctorContext, path: Path) -> CheckResult:
    what = f"{path} is not what the daemon has put there: workers may read something else"
    return failed("files", what, f"mv {path} elsewhere; then: {_again(case)}")


def _again(case: DoctorContext) -> str:
    return "rensei-daemon sync" if case.is_running else case.locations.start_command
