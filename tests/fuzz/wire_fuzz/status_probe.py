"""Asks a daemon how it is, again and again, and notes how long each answer took.

Called as `status_probe.py SOCKET PID`, as a process of its own, so that what it measures is
not its caller's work. It writes a line for each look: when it began, how long it took, how
long of that the machine is to blame for, and how long the daemon's threads ran meanwhile,
all in seconds.

The machine is to blame for the time that threads of the daemon stood in the scheduler's
queue (one may hold the interpreter's lock that another one needs), but for none of the time
that any of them ran: that was the daemon's own work. It is to blame too for what the probe
stood in the queue, and for as long as it let a process wait that had nothing to do.
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


def since(before: Threads, after: Threads) -> tuple[float, float]:
    """Return how long all threads together (ran, stood in the queue) in between."""
    begun = {one: before.get(one, (0.0, 0.0)) for one in after}
    ran = sum(after[one][0] - begun[one][0] for one in after)
    queued = sum(after[one][1] - begun[one][1] for one in after)
    return ran, queued


def look(socket: Path, pid: int, machine: MachineClock) -> tuple[float, ...]:
    """Ask once; return (when it began, how long it took, how late the machine was, ran)."""
    us = os.getpid()
    ours, theirs, lost = threads(us), threads(pid), machine.lost_seconds()
    began = time.monotonic()
    with suppress(ControlError):  # how long it took says enough
        request(socket, *STATUS, timeout_seconds=PATIENCE_SECONDS)
    took = time.monotonic() - began
    ran, queued = since(theirs, threads(pid))
    late = since(ours, threads(us))[1] + max(0.0, min(queued, took - ran))
    return began, took, max(late, machine.lost_seconds() - lost), ran


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
