"""Connect to the daemon's sockets; imports only the standard library."""

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rensei_daemon.disk.user_groups import group_name
from rensei_daemon.errors import DaemonNotRunningError, NotPermittedError


@contextmanager
def connect_errors(path: Path, *, way_in: str) -> Iterator[None]:
    """Raise what an error of `connect` means: not permitted, or no daemon.

    `way_in` names the setting that would permit it.
    """
    try:
        yield
    except PermissionError as error:
        raise not_permitted(path, way_in=way_in) from error
    except OSError as error:
        why = error.strerror or error
        message = f"the daemon is not running ({path}: {why})"
        raise DaemonNotRunningError(message) from error


def not_permitted(path: Path, *, way_in: str) -> NotPermittedError:
    """Return the error that names the group to join, if any; `way_in` names the setting."""
    try:
        found = path.stat()
    except OSError:
        return NotPermittedError(f"you may not reach {path}", hint="use sudo")
    if not found.st_mode & stat.S_IWGRP:
        return NotPermittedError(
            f"{path} is there, but only root and the daemon's user may use it",
            hint=f"use sudo, or name {way_in}",
        )
    group = group_name(found.st_gid)
    return NotPermittedError(
        f"{path} is there, not permitted: join group {group}",
        hint=f"sudo usermod -aG {group} $USER, then log in again",
    )
