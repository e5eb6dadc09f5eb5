"""Asks a daemon how it is, again and again, and notes how long each answer took.

Called as `status_probe.py SOCKET PID`, as a process of its own, so that what it measures is
not its caller's work. It writes a line for each look: when it began, how long it took, and
how long of that the machine had no processor for the daemon or for us, all in seconds.
"""

import os
import sys
import time
from contextlib import suppress
from pathlib import Path

from rensei_daemon.control_api.client import request
from rensei_daemon.control_api.schema import STATUS
from rensei_daemon.errors import ControlError

PAUSE_SECONDS = 0.04
PATIENCE_SECONDS = 20.0


def queued(pid: int) -> dict[str, float]:
    """Return how long each thread has waited for a processor, in seconds."""
    found: dict[str, float] = {}
    with suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):  # it has ended meanwhile
                _, waited, _ = (thread / "schedstat").read_text().split()
                found[thread.name] = int(waited) / 1e9
    return found


def most_queued(before: dict[str, float], after: dict[str, float]) -> float:
    """Return the longest that one thread has waited in between."""
    waits = [waited - before.get(name, waited) for name, waited in after.items()]
    return max(waits, default=0.0)


def look(socket: Path, pid: int) -> tuple[float, float, float]:
    """Ask once; return (when it began, how long it took, how late the machine was)."""
    ours, theirs = queued(os.getpid()), queued(pid)
    began = time.monotonic()
    with suppress(ControlError):  # how long it took says enough
        request(socket, *STATUS, timeout_seconds=PATIENCE_SECONDS)
    took = time.monotonic() - began
    late = most_queued(ours, queued(os.getpid())) + most_queued(theirs, queued(pid))
    return began, took, late


def main(socket: Path, pid: int) -> None:
    """Look for ever."""
    while True:
        sys.stdout.write(" ".join(f"{s:.6f}" for s in look(socket, pid)) + "\n")
        sys.stdout.flush()
        time.sleep(PAUSE_SECONDS)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
