"""The config file: whether it can be used and replaced, and is safe from other users."""

import os
import shlex
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from rensei_daemon.disk.filesystem_probe import can_exchange, is_mount_point
from rensei_daemon.disk.permissions import may_access
from rensei_daemon.disk.user_groups import user_name, user_operand
from rensei_daemon.doctor.context import DoctorContext
from rensei_daemon.doctor.result import CheckResult, failed, passed, warned
from rensei_daemon.settings.advisories import advisories
from rensei_daemon.settings.host_checks import files_in_the_way


def check_configuration(case: DoctorContext) -> Iterator[CheckResult]:
    """Check the text, the file and its directory, and what the settings name."""
    yield _text(case)
    yield from _file(case)
    if case.settings is not None:
        in_the_way = files_in_the_way(case.settings, case.locations)
        for sentence in (*advisories(case.settings), *in_the_way):
            fix = f"fix it in {case.locations.config}, or leave it if it is meant"
            yield warned("config.advice", sentence, fix)
        yield from _hooks(case)


def _text(case: DoctorContext) -> CheckResult:
    path, error = case.locations.config, case.config_error
    if error is None:
        return passed("config", f"{path} is valid")
    evidence = str(error)
    if case.settings is not None:
        evidence += "\nthe last good text is in force"
    return failed(
        "config",
        evidence,
        error.hint or f"rensei-daemon config check {shlex.quote(str(path))}",
    )


def _file(case: DoctorContext) -> Iterator[CheckResult]:
    path = case.locations.config
    try:
        target = path.resolve(strict=True)
        found, directory = target.stat(), target.parent.stat()
    except (OSError, RuntimeError):  # the latter for a loop of links, before Python 3.13
        return  # the check of the text has reported it
    user, owner = user_name(case.uid), user_operand(case.uid)
    if found.st_mode & stat.S_IWOTH:
        yield failed("config.file", f"everybody may write {target}", f"chmod o-w {target}")
    elif not may_access(case.uid, found, stat.S_IRUSR):
        what = f"{user}, who runs the daemon, may not read {target}"
        yield failed("config.file", what, f"chown {owner} {target}")
    elif not may_access(case.uid, directory, stat.S_IWUSR):
        # To replace the file, a new one is created beside it and exchanged with it.
        what = f"{user} may not write in {target.parent}, so mutations cannot be applied"
        yield failed("config.file", what, f"chown {owner} {target.parent}")
    else:
        yield passed("config.file", f"{user} may read and replace it")
    if found.st_nlink > 1:
        what = f"{target} has {found.st_nlink} names; a mutation reaches only this one"
        fix = f"find the others: find / -xdev -samefile {target}; make them symbolic links"
        yield warned("config.file", what, fix)
    if is_mount_point(target):
        what = f"{target} is mounted by itself, as a single file: it cannot be replaced"
        fix = f"mount its directory instead; see: findmnt {target}"
        yield failed("config.replace", what, fix)
    else:
        yield from _exchange(target.parent)


def _exchange(directory: Path) -> Iterator[CheckResult]:
    """Test the exchange that replaces the file, if this user may."""
    if not os.access(directory, os.W_OK):
        return
    try:
        is_able = can_exchange(directory)
    except OSError as error:
        what = f"a file cannot be written in {directory}: {error.strerror}"
        yield failed(
            "config.replace", what, f"see why: df -h {directory}; findmnt -T {directory}"
        )
        return
    if is_able:
        yield passed(
            "config.replace", "files are exchanged in one step; no edit can be lost"
        )
    else:
        yield warned(
            "config.replace",
            f"the file system of {directory} cannot exchange two files: an edit saved in "
            "the very moment of a mutation could be lost",
            "keep the configuration on ext4, xfs, btrfs or tmpfs",
        )


def _hooks(case: DoctorContext) -> Iterator[CheckResult]:
    """Check the programs that on_rotate names, without running them."""
    sessions = case.settings.credentials.sessions if case.settings else ()
    programs = {hook[0] for session in sessions for hook in session.hooks}
    for program in sorted(programs):
        found = shutil.which(program)
        if found is None:
            what = f"on_rotate: there is no program {program} that can be run"
            yield failed(
                "hook", what, f"ls -l {program}; fix [[credentials.sessions]] on_rotate"
            )
        elif not may_access(case.uid, Path(found).stat(), stat.S_IXUSR):
            what = f"on_rotate: {user_name(case.uid)} may not run {found}"
            yield failed("hook", what, f"chmod o+x {found}")
        else:
            yield passed("hook", f"on_rotate: {found} can be run")
