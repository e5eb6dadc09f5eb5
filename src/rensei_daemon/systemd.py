"""Messages to the service manager, and their interval.

Each message is a datagram to the socket that systemd names in `$NOTIFY_SOCKET`
(sd_notify(3)). A missing or deaf service manager is never an error: the daemon's work does
not depend on it.
"""

import contextlib
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Notifier:
    """The socket of the service manager; does nothing without one."""

    address: str | None

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "Notifier":
        """Return the notifier for the service manager that started this process, if any."""
        return cls(environ.get("NOTIFY_SOCKET") or None)

    def ready(self, status: str = "") -> None:
        """Report the end of a start or a reload."""
        self._send("READY=1", *([_status_line(status)] if status else []))

    def status(self, text: str) -> None:
        """Set the line that `systemctl status` shows."""
        self._send(_status_line(text))

    def watchdog(self) -> None:
        """Report that the daemon is alive."""
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """Report that shutdown has begun."""
        self._send("STOPPING=1")

    def reloading(self) -> None:
        """Report that a reload has begun; `ready` must follow.

        systemd 253 and newer need the time in the same datagram; older versions
        ignore it.
        """
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send("RELOADING=1", f"MONOTONIC_USEC={now}")

    def _send(self, *lines: str) -> None:
        if self.address is None:
            return
        address = self.address
        if address.startswith("@"):
            address = "\0" + address[1:]
        kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        # A full queue or a missing manager costs one message, never a wait.
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, kind) as line,
        ):
            line.sendto("\n".join(lines).encode(errors="replace"), address)


def _status_line(text: str) -> str:
    # A line break would start another assignment.
    return "STATUS=" + " ".join(text.split())


def watchdog_interval_seconds(
    environ: Mapping[str, str], pid: int | None = None
) -> float | None:
    """Return how often to call `watchdog`; None if no watchdog is configured.

    A third of the unit's limit, so that one late call does no harm. `$WATCHDOG_PID` is
    the process systemd means; a child that inherited the variables is not meant.
    """
    meant = environ.get("WATCHDOG_PID")
    if meant and meant != str(os.getpid() if pid is None else pid):
        return None
    allowed = environ.get("WATCHDOG_USEC", "")
    if not allowed.isascii() or not allowed.isdigit() or int(allowed) == 0:
        return None
    return int(allowed) / 3 / 1_000_000
