"""The description and the load of this machine, read from the kernel.

Every value is optional: what cannot be read is left out and is never an error.
"""

import os
import platform
import socket
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from rensei_daemon.core.heartbeat import Load
from rensei_daemon.core.worker import HostInfo

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "i686": "386", "armv7l": "arm"}
"""The platform's names of architectures, which are Go's."""


class LoadMeter:
    """Measure the load between two calls."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self._last = self._cpu_times()

    def read(self) -> Load | None:
        """Return the load since the last call; None if a part of it is unknown."""
        last, self._last = self._last, self._cpu_times()
        memory = self._memory_percent()
        if last is None or self._last is None or memory is None:
            return None
        busy, total = self._last[0] - last[0], self._last[1] - last[1]
        if total <= 0:
            return None
        return Load(cpu_percent=_percent(busy / total), memory_percent=memory)

    def _cpu_times(self) -> tuple[int, int] | None:
        """Return (busy, total) ticks since boot, summed over all processors."""
        with suppress(OSError, ValueError, IndexError):
            ticks = [int(n) for n in _first_line(self._proc / "stat").split()[1:9]]
            idle = ticks[3] + ticks[4]  # idle, and waiting for disks
            return sum(ticks) - idle, sum(ticks)
        return None

    def _memory_percent(self) -> float | None:
        sizes = _memory(self._proc)
        total, available = sizes.get("MemTotal"), sizes.get("MemAvailable")
        if not total or available is None:
            return None
        return _percent((total - available) / total)


def load_average() -> tuple[float, float, float] | None:
    """Return the run-queue averages over one, five and fifteen minutes."""
    with suppress(OSError):
        return os.getloadavg()
    return None


def host_info(
    *, version: str, started_at: datetime, proc: Path = Path("/proc")
) -> HostInfo:
    """Describe this machine for its registration."""
    machine = platform.machine()
    return HostInfo(
        ip=_address(),
        os=platform.system().lower() or None,
        os_version=_os_version(),
        arch=_ARCHITECTURES.get(machine, machine) or None,
        cpu_cores=os.cpu_count(),
        cpu_model=_cpu_model(proc),
        mem_total_mb=_memory(proc).get("MemTotal", 0) // 1024 or None,
        daemon_version=version,
        started_at=started_at,
    )


def _address() -> str | None:
    # Connecting a datagram socket sends nothing; it asks the routing table which of
    # our addresses would be used for a remote one (here, a documentation address).
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        return str(probe.getsockname()[0])
    return None


def _os_version() -> str | None:
    with suppress(OSError):
        release = platform.freedesktop_os_release()
        return release.get("VERSION_ID") or release.get("PRETTY_NAME")
    return None


def _cpu_model(proc: Path) -> str | None:
    with suppress(OSError), (proc / "cpuinfo").open() as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.partition(":")[2].strip() or None
    return None


def _memory(proc: Path) -> dict[str, int]:
    """Return the kernel's memory statistics in KiB."""
    with suppress(OSError, ValueError, IndexError):
        lines = (proc / "meminfo").read_text().splitlines()
        return {line.split(":")[0]: int(line.split()[1]) for line in lines if ":" in line}
    return {}


def _first_line(path: Path) -> str:
    with path.open() as file:
        return file.readline()


def _percent(share: float) -> float:
    return round(min(max(share * 100, 0.0), 100.0), 1)
