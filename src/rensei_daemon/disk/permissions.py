"""What a user may do with a file, and why a user cannot read one.

Checks owner, group and mode, which a command can fix; access lists and sandboxes are not
checked.
"""

import os
import stat
from pathlib import Path

from rensei_daemon.disk.user_groups import belongs_to, user_name, user_operand
from rensei_daemon.fast_dataclass import dataclass

_HIDDEN_FROM_SERVICES = tuple(map(Path, ("/root", "/home", "/run/user")))
"""Directories that ProtectHome= hides from the unit, whatever their modes."""


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a user cannot read a file, and a command that fixes it."""

    what: str
    fix: str


def may_access(uid: int, found: os.stat_result, owner_bit: int) -> bool:
    """Whether a user has a permission, given as the owner's bit of it; blocks."""
    if uid == 0:
        return owner_bit != stat.S_IXUSR or bool(found.st_mode & 0o111)
    if uid == found.st_uid:
        return bool(found.st_mode & owner_bit)
    if _is_in_group(uid, found.st_gid):
        return bool(found.st_mode & owner_bit >> 3)
    return bool(found.st_mode & owner_bit >> 6)


def _is_in_group(uid: int, gid: int) -> bool:
    if uid == os.geteuid():
        return gid in (os.getegid(), *os.getgroups())
    return belongs_to(uid, gid)


def obstacle_to_reading(path: Path, uid: int) -> Obstacle | None:
    """Return the first reason why a user cannot read a file; None if there is none.

    A missing file is no reason: opening it reports that. Blocks.
    """
    path = Path(os.path.abspath(path))  # noqa: PTH100 - a link on the way is a step too
    for directory in reversed(path.parents):
        try:
            found = directory.stat()
        except OSError:
            return None
        if not may_access(uid, found, stat.S_IXUSR):
            return closed_directory(path, directory, uid)
    try:
        found = path.stat()
    except OSError:
        return None
    return None if may_access(uid, found, stat.S_IRUSR) else _closed_file(path, found, uid)


def closed_directory(path: Path, directory: Path, uid: int) -> Obstacle:
    """Return the obstacle that a directory of the path is closed to the user."""
    what = f"{path}: {user_name(uid)} may not enter {directory}"
    if any(hidden in (directory, *directory.parents) for hidden in _HIDDEN_FROM_SERVICES):
        return Obstacle(what, "move the file, for instance to /etc/rensei-daemon")
    return Obstacle(what, f"chmod o+x {directory}")


def _closed_file(path: Path, found: os.stat_result, uid: int) -> Obstacle:
    user, mode = user_name(uid), f"{stat.S_IMODE(found.st_mode):04o}"
    if found.st_uid == uid:
        what = f"{path}: it is {user}'s own, but its mode {mode} lets nobody read it"
        return Obstacle(what, f"chmod u+r {path}")
    owner = user_name(found.st_uid)
    what = f"{path}: it belongs to {owner}, and {user} may not read it (mode {mode})"
    return Obstacle(what, f"chown {user_operand(uid)} {path}")


def explain_unreadable(path: Path, error: OSError) -> Obstacle:
    """Return why this process could not read a file, given the error."""
    if isinstance(error, PermissionError):
        found = obstacle_to_reading(path, os.geteuid())
        if found is not None:
            return found
        fix = f"ls -ld {path}; in a unit, the sandbox may hide it: systemctl cat UNIT"
        return Obstacle(f"{path}: {error.strerror}", fix)
    return Obstacle(f"{path}: {error.strerror or error}", f"look at it: ls -ld {path}")
