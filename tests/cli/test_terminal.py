"""Manners at a terminal."""

import io
import os
import pty
from collections.abc import Iterator, Mapping
from typing import TextIO

import pytest

from rensei_daemon.cli.terminal import (
    Style,
    Terminal,
    clean,
    clean_lines,
    columns,
    measure,
    paint,
    tolerate,
    wrap,
)


@pytest.fixture
def tty() -> Iterator[TextIO]:
    """Open a terminal of our own."""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal:
        yield terminal
    os.close(ours)


@pytest.mark.parametrize(
    ("environ", "colour"),
    [
        ({}, True),
        ({"TERM": "xterm"}, True),
        ({"TERM": "dumb"}, False),
        ({"NO_COLOR": "1"}, False),
        ({"NO_COLOR": ""}, True),
    ],
)
def test_colour_is_for_terminals_that_want_it(
    tty: TextIO, environ: Mapping[str, str], colour: bool
) -> None:
    """NO_COLOR, when it says anything, is respected."""
    assert measure(tty, environ) == Terminal(80, colour, is_tty=True)


def test_anything_but_a_terminal_gets_plain_text() -> None:
    """A pipe has no width and no colours."""
    assert measure(io.StringIO(), {}) == Terminal(80, colour=False, is_tty=False)


def test_a_terminal_that_hides_its_size_is_taken_for_a_usual_one() -> None:
    """The size is a courtesy, not a condition."""

    class Sizeless(io.StringIO):
        def isatty(self) -> bool:
            return True

        def fileno(self) -> int:
            raise OSError

    assert measure(Sizeless(), {}).width == 80


def test_an_output_without_our_signs_shows_question_marks() -> None:
    """A locale of the last century is no reason for a traceback."""
    raw = io.BytesIO()
    output = io.TextIOWrapper(raw, encoding="ascii")
    tolerate(output)
    tolerate(io.StringIO())
    output.write("● OK")
    output.flush()
    assert raw.getvalue() == b"? OK"


def test_foreign_text_cannot_steer_the_terminal() -> None:
    """Line breaks become blanks; other invisible characters are escaped."""
    assert clean("a\x1b[31m\r\nb\tc\x07\u202e ") == "a\\x1b[31m b c\\x07\\u202e"


def test_a_long_text_is_cut_on_a_terminal_only(
    tty: TextIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who pipes a text gets all of it."""
    assert clean("x" * 1001) == clean_lines("x" * 1001) == "x" * 1001
    monkeypatch.setattr("sys.stdout", tty)
    assert clean("x" * 1001) == clean_lines("x" * 1001) == "x" * 1000 + "…"
    assert clean("abc", longest=2) == "ab…"


def test_colour_is_put_around_a_text_or_not_at_all() -> None:
    """Plain output is the same text."""
    assert paint("x", Style.FAINT, colour=True) == "\x1b[2mx\x1b[0m"
    assert paint("x", Style.FAINT, colour=False) == "x"


def test_columns_line_up_and_nothing_is_cut() -> None:
    """Cells are aligned in columns, each of them whole, because it may be copied."""
    rows = [("NAME", "SIZE"), ("a", "1"), ("a-very-long-name", "22")]
    assert columns(rows) == [
        "NAME              SIZE",
        "a                 1",
        "a-very-long-name  22",
    ]


def test_text_is_broken_between_words() -> None:
    """What must be copied stays in one piece, and no line is too long to be read."""
    assert len(wrap("word " * 60, 200).splitlines()[0]) == 99
    assert wrap("go to /a/very/long/path now", 12, first="> ", rest="  ") == (
        "> go to\n  /a/very/long/path\n  now"
    )
