"""This process as its host sees it: small, closed to other eyes, with room for readers."""

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
    "_uuid",  # uuid looks for it, for numbers made of the time
    "rich",  # structlog looks for it, to draw tracebacks on a developer's terminal
)
"""What libraries make use of where it is installed, and do without where it is not."""

DESCRIPTORS = 16384
"""What the unit asks for; every reader of the credential socket takes one."""


def harden() -> None:
    """Keep what is in our memory from files and from other processes of our user.

    Best effort: a kernel that refuses costs a protection, not the daemon.
    """
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def trim_imports() -> None:
    """Have the libraries that are imported from here on leave out what no daemon needs.

    It makes a daemon half a megabyte smaller for its whole life, and three more where
    `rich` is installed. A name of the list that is in memory already stays there.
    """
    for name in _LEFT_BEHIND:
        # None in a module's place forbids its import, as Python documents.
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]
    # Where time zones are, as Python takes it from its own makefile otherwise: a large
    # module, for the sake of names that nobody asks for. All our times are UTC.
    os.environ.setdefault("PYTHONTZPATH", "/usr/share/zoneinfo")


def share_one_heap() -> None:
    """Let all threads share one heap: theirs would be half a megabyte that nobody uses.

    Must come before the first thread. A C library without the knob is left as it is.
    """
    with suppress(AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def raise_nofile_limit() -> None:
    """Let this process open as many files as it may, up to what a busy host needs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def process_stats(proc: Path = Path("/proc")) -> ProcessStats:
    """Return what the kernel counts of this process; what it does not tell is None."""
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
        # One is the listing's own. Thousands of readers of a socket need no Path each.
        return len(os.listdir(proc / "self/fd")) - 1  # noqa: PTH208
    return None


def _started_at(proc: Path) -> float | None:
    with suppress(OSError, ValueError, IndexError):
        # The second field, a name, may hold anything but is the only one in brackets.
        fields = (proc / "self/stat").read_text().rpartition(")")[2].split()
        lines = (proc / "stat").read_text().splitlines()
        boot = next(int(line.split()[1]) for line in lines if line.startswith("btime"))
        return boot + int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return None
