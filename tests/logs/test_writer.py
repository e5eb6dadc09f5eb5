"""The threads that write the log."""

import json
import threading
from datetime import UTC, datetime

import pytest
from deadlines import HANG_SECONDS
from polling import wait_until

from rensei_daemon.clock import Clock
from rensei_daemon.logs.formatting import Event
from rensei_daemon.logs.writer import Writer


class Gate:
    """An output that blocks every write until it is opened."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.opened = threading.Event()
        self.lines: list[dict[str, object]] = []
        self.is_broken = False
        self.is_closed = False

    def render(self, event: Event) -> bytes:
        return json.dumps(event).encode()

    def write(self, rendered: bytes) -> None:
        self.entered.set()
        assert self.opened.wait(HANG_SECONDS)
        if self.is_broken:
            raise OSError("no space left")
        self.lines.append(json.loads(rendered))

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def gate() -> Gate:
    """Return a closed gate."""
    return Gate()


def test_order(gate: Gate) -> None:
    """Events are written in order, and all of them before the writer is closed."""
    gate.opened.set()
    writer = Writer([gate])
    writer.start()
    for number in range(1000):
        writer.put({"n": number})
    writer.close()
    assert [line["n"] for line in gate.lines] == list(range(1000))
    assert writer.dropped == 0
    assert gate.is_closed


def test_full_queue(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind a blocked output events are dropped and counted, without waiting.

    When that began is a time of the clock of conditions: the wall clock may be set.
    """
    began = datetime(1970, 1, 1, tzinfo=UTC)
    monkeypatch.setattr("rensei_daemon.logs.writer.CLOCK", Clock(wall=lambda: began))
    writer = Writer([gate], limit=3)
    writer.start()
    writer.put({"n": 0})
    assert gate.entered.wait(HANG_SECONDS)
    for number in range(1, 10):
        writer.put({"n": number})
    assert writer.dropped == 6
    assert writer.dropped_since is not None
    assert writer.dropped_since.year == 1970
    gate.opened.set()
    writer.close()
    numbers = [line["n"] for line in gate.lines if "n" in line]
    (report,) = [line for line in gate.lines if "n" not in line]
    assert numbers == [0, 1, 2, 3]
    assert (report["event"], report["level"]) == ("log.dropped", "warning")
    assert report["lines"] == 6


def test_failing_output(gate: Gate) -> None:
    """A failed write is counted as a loss, and the next one is tried."""
    gate.opened.set()
    gate.is_broken = True
    writer = Writer([gate])
    writer.start()
    writer.put({"n": 0})
    wait_until(lambda: writer.dropped > 0)
    gate.is_broken = False
    writer.put({"n": 1})
    writer.close()
    assert [line.get("n") for line in gate.lines if "n" in line] == [1]
    assert writer.dropped >= 1


def test_stuck_close(gate: Gate) -> None:
    """Closing waits at most two seconds for a blocked output."""
    writer = Writer([gate], limit=1)
    writer.start()
    writer.put({"n": 0})
    assert gate.entered.wait(HANG_SECONDS)
    writer.put({"n": 1})
    writer.close()
    assert not gate.is_closed
    gate.opened.set()


def test_two_outputs() -> None:
    """Every output gets every event."""
    gates = [Gate(), Gate()]
    for gate in gates:
        gate.opened.set()
    writer = Writer(gates)
    writer.start()
    writer.put({"n": 0})
    writer.close()
    assert [gate.lines for gate in gates] == [[{"n": 0}], [{"n": 0}]]
