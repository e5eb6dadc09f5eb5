"""Asks a daemon how it is, again and again, and notes how long each answer took.

Called as `status_probe.py SOCKET PID`, as a process of its own, so that what it measures is
not its caller's work. It writes a line for each look: when it began, how long it took, and
how long of that the machine is to blame for, all in seconds.

The machine is to blame for the time that the daemon's first thread, which answers, or the
probe stood in the scheduler's queue, less the time that the daemon's other threads were
running meanwhile: then it was its own work that it waited for. It is to blame too for as
long as it let a process wait that had nothing to do.
"""

import os
import sys
import time
from contextlib import suppress
from pathlib import Path

from rensei_daemon.control_api.client import request
from rensei_daemon.control_api.schema import STATUS
from rensei_daemon.errors import ControlError
from wire_fuzz.machine_clock import MachineClock, idle_child

PAUSE_SECONDS = 0.04
PATIENCE_SECONDS = 20.0

Threads = dict[int, tuple[float, float]]
"""Of each thread, how long it (ran, stood in the queue), in seconds."""


def threads(pid: int) -> Threads:
    """Return the figures of a process's threads."""
    found: Threads = {}
    with suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):  # it has ended meanwhile
                ran, queued, _ = (thread / "schedstat").read_text().split()
                found[int(thread.name)] = int(ran) / 1e9, int(queued) / 1e9
    return found


def kept_waiting(pid: int, before: Threads, after: Threads) -> float:
    """Return how long others kept the first thread from running."""
    if pid not in before or pid not in after:
        return 0.0
    queued = after[pid][1] - before[pid][1]
    others = after.keys() - {pid}
    ran = sum(after[one][0] - before.get(one, (0.0, 0.0))[0] for one in others)
    return max(0.0, queued - ran)


def look(socket: Path, pid: int, machine: MachineClock) -> tuple[float, float, float]:
    """Ask once; return (when it began, how long it took, how long for the machine)."""
    us = os.getpid()
    ours, theirs, lost = threads(us), threads(pid), machine.lost_seconds()
    began = time.monotonic()
    with suppress(ControlError):  # how long it took says enough
        request(socket, *STATUS, timeout_seconds=PATIENCE_SECONDS)
    took = time.monotonic() - began
    queued = kept_waiting(us, ours, threads(us)) + kept_waiting(pid, theirs, threads(pid))
    return began, took, max(queued, machine.lost_seconds() - lost)


def main(socket: Path, pid: int) -> None:
    """Look for ever."""
    with idle_child() as machine:
        while True:
            seen = look(socket, pid, machine)
            sys.stdout.write(" ".join(f"{s:.6f}" for s in seen) + "\n")
            sys.stdout.flush()
            time.sleep(PAUSE_SECONDS)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
