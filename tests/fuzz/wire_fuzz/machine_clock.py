"""How late the machine runs a process that has nothing to do: no code of ours is to blame.

A child of its own naps again and again, and adds up by how much it woke too late. It shows
what the scheduler's figures of a thread do not: a virtual machine that was not run at all.
"""

import ctypes
import mmap
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

NAP_SECONDS = 0.005
USUAL_SECONDS = 0.002
"""A timer is that much late on an idle machine too."""
_LOST, _UNTIL = range(2)
"""What it has lost, and until when its nap may last."""
Shared = ctypes.Array[ctypes.c_double]
"""Two figures that parent and child share; each is written at once."""


class MachineClock:
    """What the idle child has lost so far."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    def lost_seconds(self) -> float:
        """Return how late it woke up, all naps together, this one too."""
        lost, until = self._shared[_LOST], self._shared[_UNTIL]
        return float(lost + max(0.0, time.monotonic() - until))


@contextmanager
def idle_child() -> Iterator[MachineClock]:
    """Let a child nap for as long as the block lasts, or its parent."""
    shared = (ctypes.c_double * 2).from_buffer(mmap.mmap(-1, mmap.PAGESIZE))
    shared[_UNTIL] = time.monotonic() + 1
    parent = os.getpid()
    if not (child := os.fork()):
        with suppress(BaseException):
            _nap(shared, parent)
        os._exit(0)
    try:
        yield MachineClock(shared)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _nap(shared: Shared, parent: int) -> None:
    lost = 0.0
    while os.getppid() == parent:
        until = time.monotonic() + NAP_SECONDS + USUAL_SECONDS
        shared[_UNTIL] = until
        shared[_LOST] = lost
        time.sleep(NAP_SECONDS)
        lost += max(0.0, time.monotonic() - until)
