"""What this machine is and how busy it is; what cannot be read is absent."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from rensei_daemon.core.heartbeat import Load
from rensei_daemon.disk.host_info import LoadMeter, host_info, load_average

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
MEMORY = "MemTotal:  1000000 kB\nMemFree: 1 kB\nMemAvailable:  250000 kB\n"


def _cpu(user: int, idle: int, waiting: int) -> str:
    return f"cpu  {user} 0 0 {idle} {waiting} 0 0 0 0 0\ncpu0 1 1 1 1\n"


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A kernel that has just booted."""
    (tmp_path / "stat").write_text(_cpu(100, 100, 0))
    (tmp_path / "meminfo").write_text(MEMORY)
    (tmp_path / "cpuinfo").write_text("processor : 0\nmodel name\t: Fast CPU: 9000\n")
    return tmp_path


def test_load_is_what_was_busy_since_the_last_look(proc: Path) -> None:
    """Idle and waiting for disks are not busy; memory is what is not available."""
    meter = LoadMeter(proc)
    (proc / "stat").write_text(_cpu(130, 150, 20))
    assert meter.read() == Load(cpu_percent=30.0, memory_percent=75.0)
    (proc / "stat").write_text(_cpu(140, 150, 20))
    assert meter.read() == Load(cpu_percent=100.0, memory_percent=75.0)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("stat", ""),
        ("stat", "cpu a b"),
        ("stat", _cpu(100, 100, 0)),
        ("meminfo", ""),
        ("meminfo", "MemTotal: lots\n"),
        ("meminfo", "MemTotal: 0 kB\nMemAvailable: 0 kB\n"),
    ],
)
def test_load_that_is_not_known_is_absent(proc: Path, name: str, text: str) -> None:
    """A missing or odd figure, or no time passed: no load, no error."""
    meter = LoadMeter(proc)
    (proc / "stat").write_text(_cpu(130, 150, 20))
    (proc / name).write_text(text)
    assert meter.read() is None


def test_a_counter_that_runs_back_is_not_believed(proc: Path) -> None:
    """Numbers stay within 0 and 100."""
    meter = LoadMeter(proc)
    (proc / "stat").write_text(_cpu(90, 200, 0))
    assert meter.read() == Load(cpu_percent=0.0, memory_percent=75.0)


def test_a_machine_describes_itself(proc: Path) -> None:
    """The kernel's values, under the platform's names."""
    info = host_info(version="0.1.0", started_at=NOW, proc=proc)
    assert (info.os, info.cpu_model, info.mem_total_mb) == ("linux", "Fast CPU: 9000", 976)
    assert info.arch in {"amd64", "arm64", "386", "arm"}
    assert (info.daemon_version, info.started_at) == ("0.1.0", NOW)


def test_a_machine_that_tells_nothing_is_still_described(tmp_path: Path) -> None:
    """What cannot be read is None."""
    info = host_info(version="0.1.0", started_at=NOW, proc=tmp_path)
    assert (info.cpu_model, info.mem_total_mb) == (None, None)
    assert load_average() is not None
