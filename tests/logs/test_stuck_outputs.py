"""Outputs that are blocked or full: what is lost, and how it is reported."""

import fcntl
import json
import os
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import anyio.lowlevel
import pytest
import structlog
from deadlines import HANG_SECONDS
from polling import wait_until

from rensei_daemon.logs.formatting import render_json
from rensei_daemon.logs.outputs import JsonFileOutput, Output, StreamOutput
from rensei_daemon.logs.rotating_file import RotatingFile
from rensei_daemon.logs.setup import log_to
from rensei_daemon.logs.writer import Writer

EVENTS = 10_000
LINE_BYTES = 85
"""At least, of an event below."""


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Return (the end to read, the end to write) of a small pipe."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    yield reading, writing
    os.close(writing)
    os.close(reading)


def read_until(reading: int, event: str) -> list[dict[str, Any]]:
    """Read events from a pipe up to one of that name."""
    events = []
    with os.fdopen(os.dup(reading), "rb") as stream:
        for line in stream:
            events.append(json.loads(line))
            if events[-1]["event"] == event:
                return events
    raise AssertionError("the pipe was closed")


@pytest.mark.slow
async def test_a_pipe_that_nobody_reads(pipe: tuple[int, int], tmp_path: Path) -> None:
    """The loop is not blocked, another output gets every line, the loss is reported."""
    reading, writing = pipe
    path = tmp_path / "log.jsonl"
    outputs: list[Output] = [
        StreamOutput(writing, render_json),
        JsonFileOutput(RotatingFile(path)),
    ]
    with log_to(outputs, level="info") as control:
        log = structlog.get_logger()
        for number in range(EVENTS):
            log.info("number.counted", n=number)
            if number % 100 == 0:
                await anyio.lowlevel.checkpoint()
                # Else the file's thread, on a busy machine, would lose lines as well.
                least = LINE_BYTES * (number - 1000)
                wait_until(partial(_is_longer, path, least))
        lost = control.dropped
        assert EVENTS - 5000 < lost < EVENTS
        assert control.dropped_since is not None
        shown = read_until(reading, "log.dropped")
        assert shown[-1]["lines"] == lost
        assert shown[-1]["level"] == "warning"
        drain = threading.Thread(target=read_until, args=(reading, "test.ended"))
        drain.start()
        log.info("test.ended")
        drain.join(HANG_SECONDS)
    kept = [json.loads(line)["event"] for line in path.read_text().splitlines()]
    assert kept == ["number.counted"] * EVENTS + ["test.ended"]


def _is_longer(path: Path, least: int) -> bool:
    return path.exists() and path.stat().st_size > least


def test_a_full_disk(tmp_path: Path) -> None:
    """The loss is reported as soon as there is space, without further events."""
    path = tmp_path / "log"
    full = os.open("/dev/full", os.O_WRONLY)
    writer = Writer([StreamOutput(full, render_json)], report_seconds=0.01)
    writer.start()
    for number in range(3):
        writer.put({"event": "number.counted", "n": number})
    wait_until(lambda: writer.dropped == 3)
    file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    os.dup2(file, full)  # somebody made room
    wait_until(path.read_text)
    writer.put({"event": "number.counted", "n": 3})
    wait_until(lambda: '"n": 3' in path.read_text())
    writer.close()
    *reports, last = (json.loads(line) for line in path.read_text().splitlines())
    assert {report["event"] for report in reports} == {"log.dropped"}
    assert sum(report["lines"] for report in reports) == 3
    assert last["n"] == 3
    assert writer.dropped == 3
    os.close(file)
    os.close(full)


class TriedOutput(StreamOutput):
    """An output that counts how often it is written to."""

    tries = 0

    def write(self, rendered: bytes) -> None:
        """Write, and count."""
        self.tries += 1
        super().write(rendered)


def test_a_disk_that_stays_full() -> None:
    """A failed report of the loss is not counted as another loss."""
    full = os.open("/dev/full", os.O_WRONLY)
    output = TriedOutput(full, render_json)
    writer = Writer([output], report_seconds=0.001)
    writer.start()
    writer.put({"event": "number.counted"})
    wait_until(lambda: output.tries > 5)
    writer.close()
    assert writer.dropped == 1
    os.close(full)


def test_large_events(pipe: tuple[int, int]) -> None:
    """A few long texts fill the queue like many short ones."""
    writer = Writer([StreamOutput(pipe[1], render_json)], limit_bytes=10_000)
    writer.start()
    for _ in range(100):
        writer.put({"event": "hook.ended", "output": "x" * 1000})
    assert 80 < writer.dropped < 100
    read_until(pipe[0], "log.dropped")
    drain = threading.Thread(target=read_until, args=(pipe[0], "test.ended"))
    drain.start()
    writer.put({"event": "test.ended"})
    drain.join(HANG_SECONDS)
    writer.close()
