"""Sends notifications to the service manager (sd_notify(3)).

Each message is a datagram to the socket in `$NOTIFY_SOCKET`. It is not an error if there
is no service manager, or if it does not receive.
"""

import contextlib
import os
import socket
import time
from collections.abc import Mapping

from rensei_daemon.fast_dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Notifier:
    """Notifies the service manager; does nothing if there is none."""

    address: str | None

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "Notifier":
        """Return the notifier for the service manager that started this process, if any."""
        return cls(environ.get("NOTIFY_SOCKET") or None)

    def ready(self, status: str = "") -> None:
        """Notify that the start, or a reload, has ended."""
        self._send("READY=1", *([_status_line(status)] if status else []))

    def status(self, text: str) -> None:
        """Set the line that `systemctl status` shows."""
        self._send(_status_line(text))

    def watchdog(self) -> None:
        """Notify the watchdog that the daemon is alive."""
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """Notify that the daemon is stopping."""
        self._send("STOPPING=1")

    def reloading(self) -> None:
        """Notify that a reload has begun; `ready` must follow.

        systemd 253 and newer require the time in the same datagram, older ones ignore it.
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
        # If the queue is full or the manager is gone, the message is lost.
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
    """Return the interval of calls of `watchdog`; None if there is no watchdog.

    It is a third of the unit's limit, so that one late call does no harm. The variables
    apply only to the process `$WATCHDOG_PID`, not to children that inherited them.
    """
    meant = environ.get("WATCHDOG_PID")
    if meant and meant != str(os.getpid() if pid is None else pid):
        return None
    allowed = environ.get("WATCHDOG_USEC", "")
    if not allowed.isascii() or not allowed.isdigit() or int(allowed) == 0:
        return None
    return int(allowed) / 3 / 1_000_000
