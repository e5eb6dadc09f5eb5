"""The daemon's files on this host: disk space, owners and modes, integrity."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from rensei_daemon.core.file_content import FileFormat
from rensei_daemon.disk.directories import RUNTIME_MODE, STATE_MODE, is_tmpfs
from rensei_daemon.disk.filesystem_probe import DiskSpace, disk_space
from rensei_daemon.disk.journal_database import read_database
from rensei_daemon.disk.user_groups import user_name
from rensei_daemon.doctor.context import DoctorContext
from rensei_daemon.doctor.file_access import compare_access
from rensei_daemon.doctor.file_directory import check_directory
from rensei_daemon.doctor.result import CheckResult, failed, failed_by, passed, warned
from rensei_daemon.errors import NotPermittedError, StorageError

LOW_BYTES, LEAST_BYTES = 64 * 2**20, 4 * 2**20
LOW_INODES = 1000


def check_storage(case: DoctorContext) -> Iterator[CheckResult]:
    """Check disk space, then every file of the daemon, then its journal and identity."""
    yield from _rooms(case)
    yield from _modes(case)
    yield from _journal(case)


def _rooms(case: DoctorContext) -> Iterator[CheckResult]:
    places = case.locations
    seen: set[int] = set()
    for path in (places.config.parent, places.state, places.runtime):
        try:
            space = disk_space(path)
        except OSError as error:
            yield warned("disk", f"{path}: {error.strerror}", f"ls -ld {path}")
            continue
        if space.device not in seen:
            seen.add(space.device)
            yield judge_disk_space(path, space)


def judge_disk_space(path: Path, space: DiskSpace) -> CheckResult:
    """Return whether the space left is enough."""
    megabytes = space.free_bytes // 2**20
    if space.is_read_only:
        return failed("disk", f"{path} is read-only", f"findmnt --target {path}; dmesg")
    if space.free_bytes < LEAST_BYTES or space.free_inodes == 0:
        return failed("disk", f"{path} is full", f"df -h {path}; df -i {path}")
    if space.free_inodes is not None and space.free_inodes < LOW_INODES:
        what = f"{path} has room for {space.free_inodes} more files"
        return warned("disk", what, f"df -i {path}")
    if space.free_bytes < LOW_BYTES:
        return warned("disk", f"{path} has {megabytes} MiB left", f"df -h {path}")
    return passed("disk", f"{path} has {megabytes} MiB left")


def _modes(case: DoctorContext) -> Iterator[CheckResult]:
    """Compare owner, group and mode of each file with what they should be."""
    troubles = list(_troubles(case))
    yield from troubles
    if not troubles:
        yield passed(
            "files", f"modes and owners are right; the daemon is {user_name(case.uid)}"
        )
    runtime = case.locations.runtime
    if runtime.is_dir() and not is_tmpfs(runtime):
        what = f"{runtime} is on a disk, and holds credentials"
        yield warned("runtime", what, "put [paths].runtime on a tmpfs, such as /run")


def _troubles(case: DoctorContext) -> Iterator[CheckResult]:
    places = case.locations
    yield from _compare(case, places.state, STATE_MODE)
    yield from _compare(case, places.runtime, RUNTIME_MODE)
    if os.access(places.state, os.X_OK) or not places.state.exists():
        for path in (places.journal, places.identity, places.status, places.log):
            yield from _compare(case, path, 0o600)
    else:
        what = f"what is in {places.state} is hidden from you"
        yield warned("files", what, "run it with sudo")
    yield from _compare(case, places.token, 0o600)
    if case.settings is None:
        return
    credentials, control = case.settings.credentials, case.settings.control
    for path, group in (
        (places.control_socket, control.group),
        (places.credential_socket, credentials.group),
    ):
        yield from _compare(case, path, 0o660 if group else 0o600, group)
    for session in credentials.sessions:
        for file in session.all_files:
            path = places.runtime / file.path
            if file.content.format is FileFormat.DIR:
                yield from check_directory(case, path, session.id, file)
            else:
                yield from _compare(case, path, file.permissions, file.group)


def _compare(
    case: DoctorContext, path: Path, mode: int, group: str | None = None
) -> Iterator[CheckResult]:
    """Return what is wrong with the owner, group or mode of a file that exists."""
    with suppress(OSError):  # it does not exist, or this user cannot see it
        yield from compare_access(case, path, path.stat(), mode, group)


def _journal(case: DoctorContext) -> Iterator[CheckResult]:
    """Read what a stopped daemon left; a running one has checked it at its start."""
    if case.is_running:
        return
    path = case.locations.journal
    try:
        with read_database(path) as database:
            verdict = str(database.rows("PRAGMA quick_check(1)")[0][0])
            count = int(database.rows("SELECT count(*) FROM mutations")[0][0])
    except FileNotFoundError:
        yield passed("state", "no journal yet: this host has never run the daemon")
        return
    except NotPermittedError as error:
        yield warned("state", str(error), error.hint)
        return
    except StorageError as error:
        yield failed_by("state", error)
        return
    if verdict != "ok":
        yield failed(
            "state",
            f"{path} is damaged: {verdict}",
            "start the daemon, which moves it aside",
        )
    else:
        yield passed("state", f"the journal is sound, with {count} mutations on record")
