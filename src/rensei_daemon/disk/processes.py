"""What the kernel shows of another process; None for what it does not show."""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from rensei_daemon.fast_dataclass import dataclass

PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessFacts:
    """The current state of a process."""

    pid: int
    state: str
    """A letter: R running, S sleeping, D waiting for a disk, T stopped, t traced, Z ended.
    """
    waits_in: str | None
    """The kernel function it waits in; visible to root and to its own user."""
    tracer: int
    """The pid of the process that debugs it; 0 if none."""
    is_frozen: bool
    """Whether its control group is frozen."""
    started_at: float | None
    """Seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Service:
    """The systemd unit of a process."""

    unit: str
    is_user: bool

    @property
    def systemctl(self) -> str:
        """The systemctl command for its service manager."""
        return "systemctl --user" if self.is_user else "systemctl"

    def __str__(self) -> str:
        """Return the systemctl command and the unit."""
        return f"{self.systemctl} {self.unit.removesuffix('.service')}"


def lock_holder(lock: Path) -> int | None:
    """Return the pid that holds a lock on this file; 0 if it is in another pid namespace.

    Reads the kernel's list: trying the lock would take it for a moment, and a daemon
    that starts in that moment would give up.
    """
    try:
        file = _name_in_locks(lock)
        table = (PROC / "locks").read_text(encoding="ascii")
    except OSError:
        return None
    # A line: `1: FLOCK ADVISORY WRITE 812 fe:01:393230 0 EOF`
    for line in table.splitlines():
        words = line.split()
        if len(words) > 5 and words[5].endswith(file):
            return max(int(words[4]), 0)
    return None


def _name_in_locks(path: Path) -> str:
    """Return how the kernel's list names a file: the device of its mount, and its inode.

    `st_dev` is not that device everywhere (btrfs); the inode alone is that of many files,
    the first in any file system in memory. Where the mount is not shown, it has to do.
    """
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        inode = os.fstat(descriptor).st_ino
        facts = Path(f"/proc/self/fdinfo/{descriptor}").read_text(encoding="ascii")
    finally:
        os.close(descriptor)
    mount = facts.partition("mnt_id:")[2].split()
    # A line: `29 1 254:1 / / rw,relatime - ext4 /dev/vda1 rw`
    for line in Path("/proc/self/mountinfo").read_bytes().splitlines():
        words = line.split(b" ", 3)
        if mount and words[0] == mount[0].encode():
            major, minor = map(int, words[2].split(b":"))
            return f"{major:02x}:{minor:02x}:{inode}"
    return f":{inode}"


def facts_of(pid: int) -> ProcessFacts | None:
    """Return the facts of a process; None if it is not visible."""
    try:
        lines = (PROC / str(pid) / "status").read_text(errors="replace").splitlines()
    except OSError:
        return None
    status = dict(line.split(":", 1) for line in lines if ":" in line)
    return ProcessFacts(
        pid=pid,
        state=status.get("State", "?").strip()[:1],
        waits_in=_waits_in(pid),
        tracer=int(status.get("TracerPid", "0")),
        is_frozen=_is_frozen(pid),
        started_at=_started_at(pid),
    )


def _waits_in(pid: int) -> str | None:
    with suppress(OSError):
        function = (PROC / str(pid) / "wchan").read_text(errors="replace").strip()
        return function if function not in ("", "0") else None
    return None


def _is_frozen(pid: int) -> bool:
    group = _cgroup(pid)
    with suppress(OSError):
        events = (CGROUPS / group.lstrip("/") / "cgroup.events").read_text()
        return "frozen 1" in events.splitlines()
    return False


def _started_at(pid: int) -> float | None:
    ticks = start_ticks(pid)
    with suppress(OSError, ValueError, IndexError, StopIteration):
        lines = (PROC / "stat").read_text().splitlines()
        boot = next(int(line.split()[1]) for line in lines if line.startswith("btime"))
        return None if ticks is None else boot + ticks / os.sysconf("SC_CLK_TCK")
    return None


def start_ticks(pid: int) -> int | None:
    """Return when a process started, in clock ticks after the boot."""
    found = _stat(pid)
    return None if found is None else int(found[19])


def lives(pid: int, started: int | None) -> bool:
    """Whether the process that started then has not ended.

    If /proc hides it (ProtectProc=), a process that has taken its pid counts as the same.
    """
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        pass  # it belongs to another user
    found = _stat(pid)
    if found is None:
        return True
    is_zombie = found[0] in (b"Z", b"X") and int(found[17]) <= 1  # no thread runs
    return not is_zombie and started in (None, int(found[19]))


def _stat(pid: int) -> list[bytes] | None:
    """Return the fields after the name: state first, threads 17, start 19."""
    with suppress(OSError):
        # The name may contain anything, but only it is in brackets.
        found = (PROC / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()
        return found if len(found) > 19 else None
    return None


def environ_of(pid: int) -> Mapping[str, str] | None:
    """Return the environment a process was started with; only root may read it."""
    try:
        text = (PROC / str(pid) / "environ").read_text(errors="surrogateescape")
    except OSError:
        return None
    return dict(entry.split("=", 1) for entry in text.split("\0") if "=" in entry)


def groups_of(pid: int) -> frozenset[int] | None:
    """Return every group of a process."""
    try:
        lines = (PROC / str(pid) / "status").read_text(errors="replace").splitlines()
    except OSError:
        return None
    ids = [line.split()[1:] for line in lines if line.startswith(("Gid:", "Groups:"))]
    return frozenset(int(number) for numbers in ids for number in numbers)


def service_of(pid: int) -> Service | None:
    """Return the unit whose main process this is, according to its control group.

    None for a process that was started by hand or by another process of a unit.
    """
    group = _cgroup(pid)
    unit = group.rpartition("/")[2]
    if not unit.endswith(".service"):
        return None
    environ = environ_of(pid) if pid != os.getpid() else os.environ
    if environ is not None and "SYSTEMD_EXEC_PID" in environ:
        is_main = environ["SYSTEMD_EXEC_PID"] == str(pid)
    else:  # not visible, or an older systemd
        is_main = "rensei-daemon" in unit
    return Service(unit, is_user="/user@" in group) if is_main else None


def _cgroup(pid: int) -> str:
    """Return the path of a process's control group in systemd's hierarchy."""
    with suppress(OSError):
        lines = (PROC / str(pid) / "cgroup").read_text().splitlines()
        for mark in ("0::", ":name=systemd:"):
            for line in lines:
                if (line.startswith(mark) or mark in line) and not line.endswith(":/"):
                    return line.split(":", 2)[2]
    return ""
