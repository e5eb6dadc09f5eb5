"""What the settings require of this host: groups, TLS files, the log's directory.

`run` does not start without most of it, nor does a running daemon at its next start. It is
checked for the daemon's user, with the groups of its process.
"""

import grp
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from rensei_daemon.disk.directories import is_of_others
from rensei_daemon.disk.permissions import may_access, obstacle_to_reading
from rensei_daemon.disk.processes import groups_of
from rensei_daemon.disk.user_groups import belongs_to, user_name, user_operand
from rensei_daemon.doctor.context import DoctorContext
from rensei_daemon.doctor.result import CheckResult, failed, passed
from rensei_daemon.locations import may_exist
from rensei_daemon.settings.values import Settings


def check_host_requirements(case: DoctorContext) -> Iterator[CheckResult]:
    """Check that the daemon finds what its settings name."""
    settings = case.settings
    if settings is None:
        return
    found = [*_groups(case, settings), *_files(case, settings), *_log(case, settings)]
    yield from found
    if not found:
        yield passed("needs", "every group, file and directory that is named is there")


def _groups(case: DoctorContext, settings: Settings) -> Iterator[CheckResult]:
    credentials = settings.credentials
    named = {"control.group": settings.control.group}
    named["credentials.group"] = credentials.group
    for session in credentials.sessions:
        named[f'group of session "{session.id}"'] = session.group
    for key, group in named.items():
        if group is not None:
            yield from _group(case, key, group)


def _group(case: DoctorContext, key: str, group: str) -> Iterator[CheckResult]:
    user = user_name(case.uid)
    try:
        gid = grp.getgrnam(group).gr_gid
    except KeyError:
        if not group.isdecimal():
            what = f"{key}: there is no group {group} on this host"
            yield failed("needs", what, f"groupadd --system {group}")
            return
        gid = int(group)
    in_force = groups_of(case.pid) if case.pid else None
    is_member = belongs_to(case.uid, gid)
    if case.uid == 0 or gid in (in_force or ()) or (in_force is None and is_member):
        return
    if is_member:
        what = f"{key}: {user} has joined the group {group} since the daemon was started"
        yield failed("needs", what, "systemctl restart rensei-daemon")
        return
    what = f"{key}: the daemon's user {user} is not in the group {group}"
    in_unit = f"in the unit: SupplementaryGroups={group}"
    by_hand = f"usermod -aG {group} {user_operand(case.uid)}"
    fix = f"{in_unit}; else: {by_hand}; then: systemctl restart rensei-daemon"
    yield failed("needs", what, fix)


def _files(case: DoctorContext, settings: Settings) -> Iterator[CheckResult]:
    platform = settings.platform
    for key, path in (
        ("platform.ca_file", platform.ca_file),
        ("platform.client_cert_file", platform.client_cert_file),
        ("platform.client_key_file", platform.client_key_file),
        ("platform.api_key_file", platform.api_key_file),
    ):
        if path is None:
            continue
        obstacle = obstacle_to_reading(path, case.uid)
        if obstacle is not None:
            yield failed("needs", f"{key}: {obstacle.what}", obstacle.fix)
        elif key != "platform.api_key_file" and not may_exist(path):
            yield failed(
                "needs", f"{key}: there is no {path}", f"put it there, or fix {key}"
            )


def _log(case: DoctorContext, settings: Settings) -> Iterator[CheckResult]:
    file = settings.log.file
    if file is None:
        return
    user, folder = user_operand(case.uid), file.parent
    try:
        found, is_read_only = folder.stat(), _is_read_only(folder, case.pid)
    except FileNotFoundError:
        fix = f"install -d -o {user} -m 0750 {folder}"
        yield failed("needs", f"log.file: there is no directory {folder}", fix)
        return
    except OSError:
        return  # this user cannot see it
    if not (
        may_access(case.uid, found, stat.S_IWUSR)
        and may_access(case.uid, found, stat.S_IXUSR)
    ):
        what = f"log.file: {user_name(case.uid)} may not write in {folder}"
        fix = f"chown {user} {folder}"
        if is_of_others(folder, found.st_mode):
            fix = f"install -d -o {user} -m 0750 {folder}/rensei-daemon; put log.file there"
        yield failed("needs", what, fix)
    elif is_read_only:
        what = f"log.file: {folder} is read-only for the daemon"
        restart = case.locations.restart_command
        fix = f"in the unit: ReadWritePaths={folder}; then: {restart}"
        yield failed("needs", what, fix)


def _is_read_only(folder: Path, pid: int | None) -> bool:
    """Whether a running daemon, which may have mounts of its own, cannot write there."""
    seen = Path(f"/proc/{pid}/root", *folder.parts[1:]) if pid else folder
    with suppress(OSError):  # not for this user to see
        return bool(os.statvfs(seen).f_flag & os.ST_RDONLY)
    return False
