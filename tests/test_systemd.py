"""Notifications to the service manager."""

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from deadlines import HANG_SECONDS

from rensei_daemon.systemd import Notifier, watchdog_interval_seconds


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """Listen like a service manager."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(HANG_SECONDS)
        yield listener


@pytest.fixture
def notifier(manager: socket.socket) -> Notifier:
    """Return a notifier for that manager."""
    return Notifier.from_environ({"NOTIFY_SOCKET": manager.getsockname()})


def test_ready(manager: socket.socket, notifier: Notifier) -> None:
    """Readiness and the status line are one datagram."""
    notifier.ready("ok, 2 sessions")
    assert manager.recv(200) == b"READY=1\nSTATUS=ok, 2 sessions"


def test_plain_messages(manager: socket.socket, notifier: Notifier) -> None:
    """Each message is the assignment that systemd expects."""
    notifier.ready()
    notifier.watchdog()
    notifier.stopping()
    assert [manager.recv(200) for _ in range(3)] == [
        b"READY=1",
        b"WATCHDOG=1",
        b"STOPPING=1",
    ]


def test_status_is_one_line(manager: socket.socket, notifier: Notifier) -> None:
    """A line break in a status cannot start another assignment."""
    notifier.status("degraded\nMAINPID=1")
    assert manager.recv(200) == b"STATUS=degraded MAINPID=1"


def test_reloading(manager: socket.socket, notifier: Notifier) -> None:
    """A reload carries its time by the clock that systemd uses."""
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    notifier.reloading()
    after = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    first, second = manager.recv(200).decode().split("\n")
    assert first == "RELOADING=1"
    assert before <= int(second.removeprefix("MONOTONIC_USEC=")) <= after


def test_abstract_socket() -> None:
    """An address that begins with @ is an abstract socket."""
    name = f"rensei-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0{name}")
        listener.settimeout(HANG_SECONDS)
        Notifier(f"@{name}").watchdog()
        assert listener.recv(200) == b"WATCHDOG=1"


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": ""}])
def test_no_manager(environ: dict[str, str]) -> None:
    """Outside systemd nothing is sent and nothing fails."""
    Notifier.from_environ(environ).ready()


@pytest.mark.parametrize("address", ["/nowhere/notify", "/" + "x" * 300, "@"])
def test_deaf_manager(address: str) -> None:
    """A manager that is gone is not an error."""
    Notifier(address).ready()


def test_full_queue(manager: socket.socket, notifier: Notifier) -> None:
    """A manager that does not read loses messages, and blocks nothing."""
    for _ in range(2000):
        notifier.watchdog()
    assert manager.recv(200) == b"WATCHDOG=1"


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 10.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 10.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_watchdog_interval(environ: dict[str, str], expected: float | None) -> None:
    """The interval is a third of the limit, only for the process that systemd names."""
    assert watchdog_interval_seconds(environ, pid=7) == expected
