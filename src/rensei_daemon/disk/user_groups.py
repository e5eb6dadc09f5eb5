"""Users and groups of this host, and which groups this process may give files to."""

import grp
import os
import pwd

from rensei_daemon.errors import SettingsError

_NO_GROUP = 2**32 - 1
"""The kernel's value for "do not change the group"."""
_MOST_DIGITS = 10


def group_id(name: str) -> int:
    """Return the group's number; a name of digits may be the number itself.

    A container may have groups that its own database does not list. Raises
    `SettingsError` for a group that does not exist, or that this user is not in and
    cannot give files to.
    """
    gid = _find(name)
    if gid is None:
        hint = f"make it: groupadd --system {name}"
        raise SettingsError(f"there is no group {name} on this host", hint=hint)
    if os.geteuid() != 0 and gid not in (os.getegid(), *os.getgroups()):
        raise SettingsError(
            f"the daemon's user {own_name()} is not in the group {name}",
            hint=_membership(name, gid),
        )
    return gid


def _membership(name: str, gid: int) -> str:
    """Return a hint how this user becomes a member, or how to apply a new membership."""
    if belongs_to(os.geteuid(), gid):
        return f"{own_name()} has joined it since: systemctl restart rensei-daemon"
    return (
        f"in the unit: SupplementaryGroups={name}; else: usermod -aG {name} {own_name()}; "
        "then: systemctl restart rensei-daemon"
    )


def _find(name: str) -> int | None:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        is_number = name.isascii() and name.isdecimal() and len(name) <= _MOST_DIGITS
        return int(name) if is_number and int(name) < _NO_GROUP else None


def own_name() -> str:
    """Return the name of this process's user, or its number if it has no name."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())  # in a container a user may have only a number


def group_exists(name: str) -> bool:
    """Whether this host has the group."""
    try:
        grp.getgrnam(name)
    except KeyError:
        return False
    return True


def group_name(gid: int) -> str:
    """Return the name of a group, or its number if it has none; blocks."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def user_name(uid: int) -> str:
    """Return the user's name, or `uid` and its number if it has none; blocks."""
    name = user_operand(uid)
    return f"uid {uid}" if name == str(uid) else name


def user_operand(uid: int) -> str:
    """Return the user as a command such as chown takes it; blocks.

    In a container a user may have only a number.
    """
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def belongs_to(uid: int, gid: int) -> bool:
    """Whether a user is in a group, according to the host's database; blocks."""
    try:
        user = pwd.getpwuid(uid)
    except KeyError:
        return False
    return gid in os.getgrouplist(user.pw_name, user.pw_gid)
