"""The process at the other end of a unix socket, as the kernel saw it connect."""

import os
import pwd
import socket
import struct
from contextlib import suppress
from pathlib import Path

from rensei_daemon.core.escaping import escape_line
from rensei_daemon.fast_dataclass import dataclass

_CREDENTIALS = struct.Struct("3i")  # SO_PEERCRED: pid, uid, gid
_PEER_GROUPS = 59  # SO_PEERGROUPS, which the socket module lacks
_LONGEST_OPTION = 1024  # bytes Python reads of one


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A process, its user and all its groups."""

    pid: int
    uid: int
    gids: frozenset[int] = frozenset()

    def is_trusted(self, own_uid: int) -> bool:
        """Whether it runs as root or as the daemon's own user, `own_uid`."""
        return self.uid in (0, own_uid)

    def may_have(self, gid: int | None, own_uid: int) -> bool:
        """Whether it may have what belongs to the group `gid`.

        If that is None, every process that can connect may. Root and the daemon's own
        user may have everything.
        """
        return gid is None or gid in self.gids or self.is_trusted(own_uid)

    @property
    def title(self) -> str:
        """The process for people: `worker (pid 812)`."""
        name = ""
        with suppress(OSError):
            name = Path(f"/proc/{self.pid}/comm").read_text(errors="replace").strip()
        return f"{escape_line(name) or 'process'} (pid {self.pid})"


UNKNOWN_PEER = Peer(pid=-1, uid=-1)
"""A client over TCP: the kernel knows no process, so it has no user's permissions."""


def peer_of(connection: socket.socket) -> Peer:
    """Return the process at the other end; raises `OSError`."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, gid = _CREDENTIALS.unpack(raw)
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
