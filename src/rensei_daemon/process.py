"""Settings of this process: its memory, its protection, its limit of open files."""

import ctypes
import os
import resource
import sys
import time
from contextlib import suppress
from pathlib import Path

from rensei_daemon.core.counters import ProcessStats

_PR_SET_DUMPABLE = 4
_M_ARENA_MAX = -8

_LEFT_BEHIND = (
    "bz2",  # shutil and zipfile look for these two, for archives
    "lzma",
    "_uuid",  # uuid looks for it, for ids made from the time
    "rich",  # structlog looks for it, to draw tracebacks on a developer's terminal
)
"""Optional modules that libraries use if they are installed."""

DESCRIPTORS = 16384
"""The unit's limit; every reader of the credential socket needs one."""


def harden() -> None:
    """Protect this process's memory from core files and from other processes of its user.

    Best effort: a kernel that refuses costs a protection, not the daemon.
    """
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def trim_imports() -> None:
    """Keep libraries from importing optional modules that no daemon needs.

    This saves half a megabyte of memory, and three more where `rich` is installed. A
    module that is imported already stays.
    """
    for name in _LEFT_BEHIND:
        # None in sys.modules forbids the import, as Python documents.
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]
    # The directory of time zones; Python otherwise imports its makefile, a large
    # module, to find it. All our times are UTC.
    os.environ.setdefault("PYTHONTZPATH", "/usr/share/zoneinfo")


def share_one_heap() -> None:
    """Let all threads share one heap; their own would waste half a megabyte.

    Must be called before the first thread. Does nothing if the C library has no such
    option.
    """
    with suppress(AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def raise_nofile_limit() -> None:
    """Raise the limit of open files to what a busy host needs, as far as allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def process_stats(proc: Path = Path("/proc")) -> ProcessStats:
    """Return the kernel's statistics of this process; None for what it does not provide."""
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
        # One is the listing's own. Thousands of descriptors need no Path each.
        return len(os.listdir(proc / "self/fd")) - 1  # noqa: PTH208
    return None


def _started_at(proc: Path) -> float | None:
    with suppress(OSError, ValueError, IndexError):
        # The second field is a name; it may contain anything but is the only one
        # in brackets.
        fields = (proc / "self/stat").read_text().rpartition(")")[2].split()
        lines = (proc / "stat").read_text().splitlines()
        boot = next(int(line.split()[1]) for line in lines if line.startswith("btime"))
        return boot + int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return None
