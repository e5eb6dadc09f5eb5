"""What a process has started, and what that has started in turn."""

import ctypes
import os
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """Become the parent of every process below this one whose own parent is gone."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def children(pid: int) -> set[int]:
    """Return the processes whose parent a process is."""
    found: set[int] = set()
    with suppress(OSError):  # it may end at any moment, and somebody else may reap it
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):
                found.update(map(int, (task / "children").read_text().split()))
    return found


def tree(pid: int) -> Iterator[int]:
    """Yield a process and all below it, the last ones first."""
    for child in children(pid):
        yield from tree(child)
    yield pid


def kill(pids: Iterable[int]) -> None:
    """Kill processes and all below them."""
    for pid in pids:
        for one in tree(pid):
            with suppress(OSError):
                os.kill(one, signal.SIGKILL)


def reap(pids: Iterable[int]) -> None:
    """Take the exit codes of children that have ended."""
    for pid in pids:
        with suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


def end_children(within_seconds: float) -> None:
    """Kill all below this process, adopted orphans too, and wait for their end."""
    deadline = time.monotonic() + within_seconds
    while (left := children(os.getpid())) and time.monotonic() < deadline:
        kill(left)
        reap(left)
        time.sleep(0.005)  # passes time
