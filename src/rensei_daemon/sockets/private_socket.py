"""A unix socket file that nobody else can connect to, at any moment.

On Linux a socket file has the mode of the socket bound to it, and nobody can connect before
`listen`. Mode and group are set before that, so they are never wider, and no umask shared
with other threads is involved.
"""

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rensei_daemon.disk.atomic_file import drop_inherited_acl
from rensei_daemon.disk.user_groups import group_name
from rensei_daemon.errors import SettingsError, StateInUseError, StorageError

LONGEST_PATH_BYTES = 107
"""Size of `sockaddr_un`'s path, without the final NUL."""

BACKLOG = 4096
"""Fleets of workers start at once; the kernel limits this to `somaxconn`."""

PROBE_SECONDS = 1.0


@contextmanager
def private_socket(path: Path, gid: int | None) -> Iterator[socket.socket]:
    """Listen on a new socket file (0600; 0660 with a `gid`); remove it at the end.

    Replaces a stale file. Raises `StateInUseError` if a process serves the existing
    one, and `SettingsError` if the daemon's user may not use the group or the path is
    too long.
    """
    if len(os.fsencode(path)) > LONGEST_PATH_BYTES:
        raise SettingsError(
            f"{path} is too long for a socket ({LONGEST_PATH_BYTES} bytes)",
            hint="set [paths].runtime to a shorter directory",
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.setblocking(False)
        try:
            own_file = _bind(listening, path, gid)
        except OSError as error:
            raise StorageError(f"cannot listen on {path}: {error.strerror}") from error
        try:
            yield listening
        finally:
            _unlink_own(path, own_file)


def _bind(listening: socket.socket, path: Path, gid: int | None) -> os.stat_result:
    _remove_stale(path)
    os.fchmod(listening.fileno(), 0o600)
    listening.bind(os.fspath(path))
    _open_to(path, gid)
    listening.listen(BACKLOG)
    return path.lstat()


def _unlink_own(path: Path, own_file: os.stat_result) -> None:
    # Somebody else may have put another file there, which is theirs.
    try:
        if os.path.samestat(path.lstat(), own_file):
            path.unlink()
    except FileNotFoundError:
        pass  # it is gone, as intended


def _remove_stale(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        message = f"{path} is in the way: it is not a socket"
        raise StorageError(message, hint=f"look at it, and move it away: ls -ld {path}")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(PROBE_SECONDS)
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except BlockingIOError:
            pass  # its backlog is full: it hangs, but lives
    raise StateInUseError(
        f"another process serves {path}", hint="see which: rensei-daemon status"
    )


def _open_to(path: Path, gid: int | None) -> None:
    if gid is None:
        return
    try:
        os.chown(path, -1, gid, follow_symlinks=False)
    except PermissionError as error:
        path.unlink()
        name = group_name(gid)
        raise SettingsError(
            f"the daemon's user may not give {path} to group {name}: it is not a member",
            hint=f"in the unit: SupplementaryGroups={name}; else: usermod -aG {name} USER",
        ) from error
    drop_inherited_acl(path)
    path.chmod(0o660)
