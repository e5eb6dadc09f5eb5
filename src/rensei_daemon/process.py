"""Settings of this process: memory, protection from other processes, open files."""

import ctypes
import gc
import os
import resource
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

from rensei_daemon.core.counters import ProcessStats

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_M_ARENA_MAX = -8

SWITCH_SECONDS = 0.0005
"""How long a thread may keep the interpreter while another one waits for it."""

DESCRIPTORS = 16384
"""The limit of the unit; every reader of the credential socket takes one file."""


def harden() -> None:
    """Protect our memory from core dumps and from other processes of our user.

    If the kernel refuses, the daemon runs without this protection.
    """
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def die_with(parent: int, *, within_seconds: float) -> None:
    """Have the kernel end this process with its parent, or after so many seconds.

    It ends at once if the parent has died already.
    """
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, within_seconds)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def pause_garbage_collection() -> None:
    """Collect no garbage while modules are imported, which is a tenth of a start.

    They stay for ever, but the collector looks through all of them again and again.
    """
    gc.disable()


def resume_garbage_collection() -> None:
    """Collect garbage from now on, except in what was made so far and is in use.

    What importing leaves behind, such as the classes that others were made in place of, is
    0.6 MB. It is collected before anything else takes memory beside it.
    """
    gc.collect()
    gc.freeze()
    gc.enable()


def let_the_loop_interrupt() -> None:
    """Let the event loop take the interpreter back from a busy thread ten times sooner.

    It gives it away in every turn, as it looks for events, so with Python's default of
    5 ms an answer of ten turns takes 50 ms while a thread parses.
    """
    sys.setswitchinterval(SWITCH_SECONDS)


def share_one_heap() -> None:
    """Let all threads share one heap, which saves half a megabyte for each thread.

    Call it before the first thread. It does nothing with a C library without `mallopt`.
    """
    with suppress(AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def release_free_memory() -> None:
    """Give whole pages of the C library's heap that are free back to the kernel."""
    with suppress(AttributeError):  # another C library than glibc
        ctypes.CDLL(None).malloc_trim(0)


def raise_nofile_limit() -> None:
    """Raise the limit of open files as far as allowed, up to what a busy host needs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def process_stats(proc: Path = Path("/proc")) -> ProcessStats:
    """Return the kernel's figures of this process; None for what cannot be read."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    virtual, resident = _memory(proc)
    return ProcessStats(
        cpu_seconds=time.process_time(),
        resident_bytes=resident,
        virtual_bytes=virtual,
        open_files=_open_files(proc),
        most_files=None if most == resource.RLIM_INFINITY else most,
        started_at=_started_at(proc),
    )


def _memory(proc: Path) -> tuple[int | None, int | None]:
    with suppress(OSError, ValueError):
        pages = (proc / "self/statm").read_text().split()[:2]
        virtual, resident = (int(count) * resource.getpagesize() for count in pages)
        return virtual, resident
    return None, None


def _open_files(proc: Path) -> int | None:
    with suppress(OSError):
        # One is of the listing itself. listdir makes no Path for each of many files.
        return len(os.listdir(proc / "self/fd")) - 1  # noqa: PTH208
    return None


def _started_at(proc: Path) -> float | None:
    with suppress(OSError, ValueError, IndexError):
        # The second field, a name, may hold any text, but only it is in brackets.
        fields = (proc / "self/stat").read_text().rpartition(")")[2].split()
        lines = (proc / "stat").read_text().splitlines()
        boot = next(int(line.split()[1]) for line in lines if line.startswith("btime"))
        return boot + int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return None
