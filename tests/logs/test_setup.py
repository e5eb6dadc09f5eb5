"""From a log method to a line."""

import json
import logging
import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from rensei_daemon.core.hints import DaemonAddress
from rensei_daemon.logs.formatting import render_json
from rensei_daemon.logs.outputs import JsonFileOutput, StreamOutput
from rensei_daemon.logs.rotating_file import RotatingFile
from rensei_daemon.logs.setup import log_to


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the test's log goes."""
    return tmp_path / "log.jsonl"


@pytest.fixture
def output(path: Path) -> JsonFileOutput:
    """Return an output into the test's log."""
    return JsonFileOutput(RotatingFile(path))


def events(path: Path) -> Iterator[dict[str, object]]:
    """Return the events of a log, without their times."""
    for line in path.read_text().splitlines():
        event = json.loads(line)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:]{8}\.\d{3}Z", event.pop("timestamp"))
        yield event


def test_event(path: Path, output: JsonFileOutput) -> None:
    """An event has its time, level and name first, then its keys in order."""
    with log_to([output], level="info"):
        log = structlog.get_logger().bind(mutation_id="dmut_1")
        log.info("mutation.applied", op="project.add")
    assert list(events(path)) == [
        {
            "level": "info",
            "event": "mutation.applied",
            "mutation_id": "dmut_1",
            "op": "project.add",
        }
    ]
    assert list(json.loads(path.read_text()))[:3] == ["timestamp", "level", "event"]


def test_a_hint_is_said_for_this_daemon(path: Path, output: JsonFileOutput) -> None:
    """Commands in hints are adapted where the log is opened."""
    reached = DaemonAddress(config="/c.toml", systemctl=None, pid=8)
    with log_to([output], level="info", say_hint=reached.hint):
        structlog.get_logger().info("a.b", hint="see: rensei-daemon status", op="x")
        structlog.get_logger().info("a.c", hint="")
    assert [event["hint"] for event in events(path)] == [
        "see: rensei-daemon status --config /c.toml",
        "",
    ]


def test_level(path: Path, output: JsonFileOutput) -> None:
    """The level changes at run time, also for existing loggers."""
    with log_to([output], level="warning") as control:
        ours, theirs = structlog.get_logger().bind(), logging.getLogger("x")
        ours.info("a.hidden")
        theirs.info("b")
        control.set_level("debug")
        assert control.level == "debug"
        ours.debug("c.shown")
        theirs.debug("d")
        control.set_level("error")
        ours.warning("e.hidden")
    assert [event.get("text", event["event"]) for event in events(path)] == [
        "c.shown",
        "d",
    ]


def test_context_variables(path: Path, output: JsonFileOutput) -> None:
    """Fields bound to the context are in every event."""
    with (
        log_to([output], level="info"),
        structlog.contextvars.bound_contextvars(session_id="build"),
    ):
        structlog.get_logger().info("stream.opened")
    assert list(events(path)) == [
        {"level": "info", "event": "stream.opened", "session_id": "build"}
    ]


def test_exception(path: Path, output: JsonFileOutput) -> None:
    """A traceback comes last, with secrets removed."""
    with log_to([output], level="info", scrub=lambda text: text.replace("CANARY", "…")):
        try:
            raise OSError("CANARY")
        except OSError:
            structlog.get_logger().exception("config.unread", path="/c")
    (event,) = events(path)
    trace = str(event.pop("exception"))
    assert event == {"level": "error", "event": "config.unread", "path": "/c"}
    assert trace.startswith("Traceback (most recent call last):\n")
    assert trace.endswith("\nOSError: …")
    assert "CANARY" not in path.read_text().replace('raise OSError(\\"CANARY\\")', "")


def test_libraries(path: Path, output: JsonFileOutput) -> None:
    """Messages of libraries become events, with secrets removed."""
    with log_to([output], level="info", scrub=lambda text: text.replace("CANARY", "…")):
        logging.getLogger("some.library").warning("lost %s", "CANARY")
        logging.getLogger("some.library").warning("%d does not fit", "CANARY")
        try:
            raise ValueError
        except ValueError:
            logging.getLogger("some.library").exception("failed")
    first, second, third = events(path)
    assert first == {
        "level": "warning",
        "event": "library.logged",
        "logger": "some.library",
        "text": "lost …",
    }
    assert second["text"] == "%d does not fit"
    assert third["level"] == "error"
    assert str(third["exception"]).endswith("\nValueError")


@pytest.mark.parametrize("name", ["httpx", "httpcore"])
def test_talkative_libraries(path: Path, output: JsonFileOutput, name: str) -> None:
    """The HTTP libraries do not log URLs at any level."""
    with log_to([output], level="debug"):
        logging.getLogger(name).info("GET https://…")
        logging.getLogger(name).warning("odd")
    assert [event["text"] for event in events(path)] == ["odd"]


def test_warnings(path: Path, output: JsonFileOutput) -> None:
    """A Python warning is an event."""
    with log_to([output], level="info"), warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old ways", DeprecationWarning, stacklevel=1)
    (event,) = events(path)
    assert event["logger"] == "py.warnings"


def test_it_is_undone(output: JsonFileOutput) -> None:
    """After the block the logging configuration is restored."""
    root = logging.getLogger()
    before = root.level, root.handlers[:], structlog.get_config()
    with log_to([output], level="debug"):
        assert root.handlers != before[1]
    assert (root.level, root.handlers, structlog.get_config()) == before


def test_stuck_pipe() -> None:
    """A blocked output loses lines, but does not block the caller."""
    reading, writing = os.pipe()
    with log_to([StreamOutput(writing, render_json)], level="info") as control:
        log = structlog.get_logger()
        while not control.dropped:
            log.info("line.written", text="x" * 500)
        os.close(reading)  # a broken pipe frees the thread
    os.close(writing)
