"""The format of an event for people and programs."""

import subprocess
import sys

import pytest

from rensei_daemon.logs.formatting import render_json, render_line, render_message

EVENT = {
    "timestamp": "2026-11-23T16:00:00.123Z",
    "level": "info",
    "event": "mutation.applied",
    "mutation_id": "dmut_1",
    "count": 3,
    "reason": "two words",
    "nothing": None,
    "names": ["a", "b"],
}


def test_line() -> None:
    """Time, level and event come first, then the fields, quoted where necessary."""
    assert render_line(EVENT, colour=False) == (
        "2026-11-23T16:00:00.123Z info     mutation.applied  mutation_id=dmut_1"
        ' count=3 reason="two words" nothing=null names=["a", "b"]'
    )


def test_message() -> None:
    """The message of a journal entry omits what the journal shows itself."""
    assert render_message(EVENT) == (
        'mutation.applied mutation_id=dmut_1 count=3 reason="two words"'
        ' nothing=null names=["a", "b"]'
    )


def test_colour() -> None:
    """Colour changes only the colour."""
    event = {"timestamp": "T", "level": "error", "event": "stream.lost"}
    assert render_line(event, colour=True) == (
        "\x1b[2mT\x1b[0m \x1b[31merror   \x1b[0m \x1b[1mstream.lost\x1b[0m"
    )


def test_exception() -> None:
    """A traceback follows its line, indented."""
    event = {
        "timestamp": "T",
        "level": "error",
        "event": "x.failed",
        "exception": "Traceback:\n  File\nOSError: no",
    }
    assert render_line(event, colour=False) == (
        "T error    x.failed\n    Traceback:\n      File\n    OSError: no"
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", '""'),
        ("a=b", '"a=b"'),
        ('say "x"', '"say \\"x\\""'),
        ("two\nlines", '"two\\nlines"'),
        ("\x1b[31mred", '"\\u001b[31mred"'),
        ("\x9b31m", '"\\x9b31m"'),
        ("\u202ereversed", '"\\u202ereversed"'),
        ("grün", "grün"),
        (b"bytes", "\"b'bytes'\""),
        (1.5, "1.5"),
    ],
)
def test_values(value: object, expected: str) -> None:
    """No value can break the line or control the terminal."""
    assert render_message({"event": "e", "key": value}) == f"e key={expected}"


def test_keys_are_tame_and_values_are_cut() -> None:
    """Field names are escaped; values are cut if requested."""
    event = {"event": "e", "k\u202e": "v", "long": "x" * 9}
    assert render_message(event) == "e k\\u202e=v long=xxxxxxxxx"
    line = render_line(event, colour=False, longest=5)
    assert line == "- -        e  k\\u202e=v long=xxxxx…"


def test_event_names_are_tame() -> None:
    """Foreign text as an event name is escaped."""
    assert render_message({"event": "Started it.\x1b[2J"}) == "Started it.\\x1b[2J"


def test_incomplete() -> None:
    """An event without time or level is still a line."""
    assert render_line({"event": "e"}, colour=False) == "- -        e"


def test_json() -> None:
    """JSON is ASCII, keeps order and types, and writes other objects as text."""
    assert render_json({"event": "e", "n": 1, "path": 1j, "ü": None}) == (
        '{"event": "e", "n": 1, "path": "1j", "\\u00fc": null}'
    )


def test_import_is_light() -> None:
    """The module imports nothing slow."""
    program = (
        "import sys, rensei_daemon.logs.formatting, rensei_daemon.logs.journalctl;"
        "print([m for m in ('structlog', 'rich', 'pydantic', 'anyio', 'logging')"
        " if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
