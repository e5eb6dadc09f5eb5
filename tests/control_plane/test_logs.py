"""The log of a server, and what it tells the service manager."""

import io
import json
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from deadlines import HANG_SECONDS
from platform_program import Program

from rensei_platform.logs import configure_log
from rensei_platform.systemd import notify, watchdog_seconds

DATABASE = ("--database", "sqlite:///platform.db")


@pytest.fixture(autouse=True)
def _default_log() -> Iterator[None]:
    """Leave the log of the other tests as it was."""
    before = logging.getLogger().handlers[:], logging.getLogger().level
    yield
    structlog.reset_defaults()
    logging.getLogger().handlers[:], level = before[0], before[1]
    logging.getLogger().setLevel(level)


def test_events_are_json_lines() -> None:
    """An event is a line in ASCII with time, level and name; lower levels are left out."""
    stream = io.StringIO()
    configure_log("info", "auto", stream)
    structlog.get_logger().debug("left.out")
    structlog.get_logger().info("server.ready", url="http://ü\n\u202e")
    (line,) = stream.getvalue().splitlines()
    assert line.isascii()
    event = json.loads(line)
    assert event.pop("timestamp").endswith("Z")
    assert event == {"level": "info", "event": "server.ready", "url": "http://ü\n\u202e"}


def test_libraries_log_events_too() -> None:
    """What a library complains of is an event, with its traceback in a field."""
    stream = io.StringIO()
    configure_log("info", "json", stream)
    logging.getLogger("asyncio").info("chatter")
    try:
        raise ValueError("why")
    except ValueError:
        logging.getLogger("asyncio").exception("it failed: %s", 7)
    (line,) = stream.getvalue().splitlines()
    event = json.loads(line)
    assert (event["event"], event["logger"]) == ("library.logged", "asyncio")
    assert event["message"] == "it failed: 7"
    assert "ValueError: why" in event["exception"]


def test_libraries_repeat_no_warning_within_a_minute() -> None:
    """Whoever causes it as often as he likes does not fill the disk; errors all count."""
    stream = io.StringIO()
    configure_log("info", "json", stream)
    for number in range(100):
        logging.getLogger("uvicorn.error").warning("Invalid request %d.", number)
    logging.getLogger("uvicorn.error").warning("Another one.")
    for _ in range(2):
        logging.getLogger("uvicorn.error").error("It failed.")
    found = [json.loads(line)["message"] for line in stream.getvalue().splitlines()]
    assert found == ["Invalid request 0.", "Another one.", "It failed.", "It failed."]


def test_text_for_people() -> None:
    """On request the log is text."""
    stream = io.StringIO()
    configure_log("info", "text", stream)
    structlog.get_logger().warning("bus.away", reason="why")
    assert "bus.away" in stream.getvalue()
    assert not stream.getvalue().startswith("{")


@pytest.mark.slow
def test_service_manager_is_told(tmp_path: Path) -> None:
    """The program says when it is ready and when it stops, and feeds the watchdog."""
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        manager.settimeout(HANG_SECONDS)
        program = Program(tmp_path)
        program.init(DATABASE[1])
        program.environ = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "300000"}
        with program.serving(*DATABASE, "--port", 0, "--stop-seconds", 0) as url:
            told = [manager.recv(4096).decode() for _ in range(3)]
            assert f"READY=1\nSTATUS=serving at {url}" in told
            assert "WATCHDOG=1" in told
        while told[-1] != "STOPPING=1":
            told.append(manager.recv(4096).decode())


def test_nobody_to_tell() -> None:
    """Without a service manager, or with one that has gone, nothing happens."""
    notify({}, "READY=1")
    notify({"NOTIFY_SOCKET": "/nonexistent"}, "READY=1")
    notify({"NOTIFY_SOCKET": "@rensei-platform-test-nobody"}, "READY=1")


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "60000000"}, 20.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_watchdog(environ: dict[str, str], seconds: float | None) -> None:
    """The watchdog hears of us three times within its limit, if it means us."""
    assert watchdog_seconds(environ) == seconds


def test_watchdog_of_this_process() -> None:
    """The manager names the process that it means."""
    environ = {"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())}
    assert watchdog_seconds(environ) == 20.0
