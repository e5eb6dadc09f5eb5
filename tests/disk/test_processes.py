"""What the kernel shows of another process."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rensei_daemon.disk import processes
from rensei_daemon.disk.directories import state_lock
from rensei_daemon.disk.processes import (
    Service,
    environ_of,
    facts_of,
    groups_of,
    lock_holder,
    service_of,
)


@contextmanager
def sleeper(**environ: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process that waits for its input."""
    script = "import sys; print('up', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environ,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process
        finally:
            process.kill()


def test_a_stopped_process_is_seen_as_that() -> None:
    """With its state, its age, and no debugger."""
    with sleeper() as process:
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        facts = facts_of(process.pid)
    assert facts is not None
    assert (facts.pid, facts.state, facts.tracer) == (process.pid, "T", 0)
    assert facts.started_at is not None
    assert abs(time.time() - facts.started_at) < 60
    assert facts.is_frozen is False


def test_a_process_that_is_gone_has_no_facts() -> None:
    """Nor an environment, nor groups."""
    with sleeper() as process:
        pass
    pid = process.pid
    assert (facts_of(pid), environ_of(pid), groups_of(pid)) == (None, None, None)
    assert service_of(pid) is None


def test_its_environment_and_groups_are_its_own() -> None:
    """As it was started, not as we are."""
    with sleeper(https_proxy="p:1", EMPTY="") as process:
        assert environ_of(process.pid) == {"https_proxy": "p:1", "EMPTY": ""}
        assert groups_of(process.pid) == frozenset({os.getegid(), *os.getgroups()})


def test_the_holder_of_a_lock_is_named(tmp_path: Path) -> None:
    """And none where there is none."""
    lock = tmp_path / "lock"
    assert lock_holder(lock) is None
    with state_lock(lock):
        assert lock_holder(lock) == os.getpid()
    assert lock_holder(lock) is None


def test_a_file_of_another_disk_may_have_the_same_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first file of every file system in memory has; its lock is not the daemon's."""
    lock = tmp_path / "lock"
    with state_lock(lock):
        table = Path("/proc/locks").read_text()
    (ours,) = [
        line.split()[5]
        for line in table.splitlines()
        if line.split()[5].endswith(f":{lock.stat().st_ino}")
        and line.split()[4] == str(os.getpid())
    ]
    (tmp_path / "locks").write_text(
        f"1: FLOCK ADVISORY WRITE 811 ab:cd:{lock.stat().st_ino} 0 EOF\n"
    )
    monkeypatch.setattr(processes, "PROC", tmp_path)
    assert lock_holder(lock) is None
    with (tmp_path / "locks").open("a") as file:
        file.write(f"2: FLOCK ADVISORY WRITE 812 {ours} 0 EOF\n")
    assert lock_holder(lock) == 812


@pytest.mark.parametrize(
    ("cgroup", "environ", "service"),
    [
        ("0::/system.slice/rensei-daemon.service", None, "rensei-daemon.service"),
        ("0::/system.slice/agent.service", "812", "agent.service"),
        ("0::/system.slice/agent.service", "811", None),
        ("0::/system.slice/agent.service", None, None),
        (
            "9:name=systemd:/system.slice/rensei-daemon.service\n0::/",
            None,
            "rensei-daemon.service",
        ),
        ("0::/user.slice/user-1000.slice/session-3.scope", "812", None),
        ("0::/", "812", None),
    ],
)
def test_the_unit_a_process_is_the_main_one_of(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cgroup: str,
    environ: str | None,
    service: str | None,
) -> None:
    """One of a shell, of another unit's child, or of no systemd has none."""
    monkeypatch.setattr(processes, "PROC", tmp_path)
    folder = tmp_path / "812"
    folder.mkdir()
    (folder / "cgroup").write_text(cgroup + "\n")
    if environ is not None:
        (folder / "environ").write_text(f"A=b\0SYSTEMD_EXEC_PID={environ}\0")
    assert service_of(812) == (Service(service, is_user=False) if service else None)


def test_a_unit_of_a_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its service manager is the user's own."""
    monkeypatch.setattr(processes, "PROC", tmp_path)
    (tmp_path / "812").mkdir()
    group = "/user.slice/user-1.slice/user@1.service/app.slice/rensei-daemon.service"
    (tmp_path / "812/cgroup").write_text(f"0::{group}\n")
    found = service_of(812)
    assert found == Service("rensei-daemon.service", is_user=True)
    assert found.systemctl == "systemctl --user"


def test_a_frozen_group_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A paused container, or `systemctl freeze`: no signal shows it."""
    monkeypatch.setattr(processes, "PROC", tmp_path)
    monkeypatch.setattr(processes, "CGROUPS", tmp_path / "cgroup")
    (tmp_path / "812").mkdir()
    (tmp_path / "812/status").write_text("Name:\tx\nState:\tS (sleeping)\n")
    (tmp_path / "812/cgroup").write_text("0::/a.slice\n")
    (tmp_path / "cgroup/a.slice").mkdir(parents=True)
    (tmp_path / "cgroup/a.slice/cgroup.events").write_text("populated 1\nfrozen 1\n")
    facts = facts_of(812)
    assert facts is not None
    assert facts.is_frozen
