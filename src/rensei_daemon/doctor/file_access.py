"""Who a file belongs to, and who may do what with it."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from rensei_daemon.disk.user_groups import group_name, user_name, user_operand
from rensei_daemon.doctor.context import DoctorContext
from rensei_daemon.doctor.result import CheckResult, failed, warned


def compare_access(
    case: DoctorContext,
    path: Path,
    found: os.stat_result,
    mode: int,
    group: str | None = None,
) -> Iterator[CheckResult]:
    """Return what is wrong with the owner, group or mode of a file."""
    is_mode = stat.S_IMODE(found.st_mode)
    if found.st_uid != case.uid:
        what = f"{path} belongs to {user_name(found.st_uid)}, not to {user_name(case.uid)}"
        yield failed("files", what, f"chown {user_operand(case.uid)} {path}")
    elif group is not None and group_name(found.st_gid) != group:
        what = f"{path} is group {group_name(found.st_gid)}'s, not {group}'s"
        yield failed("files", what, f"chgrp {group} {path}; then: rensei-daemon reload")
    elif is_mode & ~mode:
        what = f"{path} is open to more than it should be ({is_mode:04o}, not {mode:04o})"
        yield failed("files", what, f"chmod {mode:04o} {path}")
    elif is_mode != mode:
        what = f"{path} has mode {is_mode:04o}, not {mode:04o}"
        yield warned("files", what, f"chmod {mode:04o} {path}")
