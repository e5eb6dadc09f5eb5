"""The process at the other end of a unix socket, as the kernel saw it connect."""

import os
import pwd
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rensei_daemon.core.escaping import escape_line

_CREDENTIALS = struct.Struct("3i")  # SO_PEERCRED: pid, uid, gid
_PEER_GROUPS = 59  # SO_PEERGROUPS, which the socket module lacks
_LONGEST_OPTION = 1024  # bytes Python reads of one


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A process, its user and all its groups."""

    pid: int
    uid: int
    gids: frozenset[int]

    def may_have(self, gid: int | None, own_uid: int) -> bool:
        """Whether it may have what belongs to the group `gid`; None: whatever may connect.

        Root and the daemon's own user may have everything.
        """
        return gid is None or gid in self.gids or self.uid in (0, own_uid)

    @property
    def title(self) -> str:
        """The process for people: `worker (pid 812)`."""
        name = ""
        with suppress(OSError):
            name = Path(f"/proc/{self.pid}/comm").read_text(errors="replace").strip()
        return f"{escape_line(name) or 'process'} (pid {self.pid})"


def user_of(connection: socket.socket) -> int:
    """Return the user id of the connected process; raises `OSError`."""
    return _ids(connection)[1]


def _ids(connection: socket.socket) -> tuple[int, int, int]:
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, gid = _CREDENTIALS.unpack(raw)
    return pid, uid, gid


def peer_of(connection: socket.socket) -> Peer:
    """Return the connected process; raises `OSError`."""
    pid, uid, gid = _ids(connection)
    return Peer(pid=pid, uid=uid, gids=frozenset({gid, *_groups(connection, uid, gid)}))


def _groups(connection: socket.socket, uid: int, gid: int) -> tuple[int, ...]:
    try:
        raw = connection.getsockopt(socket.SOL_SOCKET, _PEER_GROUPS, _LONGEST_OPTION)
    except OSError:
        # More groups than fit, or a kernel before 4.13: use the user's current
        # groups.
        try:
            return tuple(os.getgrouplist(pwd.getpwuid(uid).pw_name, gid))
        except KeyError:
            return ()
    return struct.unpack(f"{len(raw) // 4}I", raw)
