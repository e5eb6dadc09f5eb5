"""Which characters are shown as they are, and how the others are written."""

import tomllib
from time import process_time

import pytest

from rensei_daemon.core.escaping import (
    escape_line,
    escape_lines,
    escape_toml,
    is_visible,
)
from rensei_daemon.core.history import unified
from rensei_daemon.core.toml_rendering import render, render_key

HIDDEN = (
    ("\x00", "\\x00"),
    ("\x1b", "\\x1b"),
    ("\x7f", "\\x7f"),
    ("\x85", "\\x85"),
    ("\x9b", "\\x9b"),
    ("\xa0", "\\xa0"),
    ("\xad", "\\xad"),
    ("\n", "\\n"),
    ("\t", "\\t"),
    ("\u034f", "\\u034f"),
    ("\u200b", "\\u200b"),
    ("\u2028", "\\u2028"),
    ("\u202e", "\\u202e"),
    ("\u2066", "\\u2066"),
    ("\u2800", "\\u2800"),
    ("\u3164", "\\u3164"),
    ("\ufe0f", "\\ufe0f"),
    ("\ufeff", "\\ufeff"),
    ("\ud800", "\\ud800"),
    ("\U000e0041", "\\U000e0041"),
    ("\U000e0100", "\\U000e0100"),
)


@pytest.mark.parametrize(("mark", "expected"), HIDDEN)
def test_what_nobody_can_see_is_named(mark: str, expected: str) -> None:
    """A control, direction, zero-width or filler character is shown by its number."""
    assert not is_visible(mark)
    assert escape_line(f"a{mark}ü 日\\") == f"a{expected}ü 日\\"


def test_a_long_text_is_cut_on_a_line() -> None:
    """A text of the limit is whole; of a longer one the end is replaced by an ellipsis."""
    assert escape_line("a" * 5, longest=5) == "aaaaa"
    assert escape_line("a" * 6, longest=5) == "aaaaa…"
    assert escape_line("a" * 5000) == "a" * 5000
    assert escape_line("\x9b" * 9, longest=2) == "\\x9b\\x9b…"


def test_lines_keep_their_ends_and_tabs() -> None:
    """Only line ends of the file end a line on the screen; each line is cut separately."""
    text = "a\tb\\t\x9b\r\nc\u2028d\re\r\nfghi\n"
    assert escape_lines(text, longest=8) == ("a\tb\\t\\x9b\r\nc\\u2028d\\re\r\nfghi\n")
    assert escape_lines("abc\r\nde\n", longest=2) == "ab…\r\nde\n"


@pytest.mark.parametrize("mark", [mark for mark, _ in HIDDEN if mark != "\ud800"])
def test_toml_escapes_read_back(mark: str) -> None:
    """A value and a key are written visibly, and mean what they meant."""
    text = f"a{mark}ü"
    line = f"{render_key((text, text))} = {render([text, {text: text}])}"
    assert is_visible(line)
    assert tomllib.loads(line) == {text: {text: [text, {text: text}]}}


def test_toml_strings_are_spelled_as_tomlkit_does() -> None:
    """Quotes, backslashes and the usual controls have their short escapes."""
    assert render('a"\\\t\n\r\b\f\x07') == '"a\\"\\\\\\t\\n\\r\\b\\f\\u0007"'
    assert render("") == '""'
    path = ("a-B_1", "", "a b", "ü", "a\n")
    assert render_key(path) == 'a-B_1.""."a b"."ü"."a\\n"'


def test_a_long_text_is_spelled_in_linear_time() -> None:
    """A quote in 8 MB of letters costs no more than the letters."""
    text = '"' + "l" * 8_000_000
    started = process_time()
    assert len(render(text)) == 8_000_004
    assert process_time() - started < 5


def test_toml_keeps_its_lines() -> None:
    """A line feed between statements is no character of a value."""
    assert escape_toml('a = "\x9b"\nb = "\u202e\U000e0041"\n') == (
        'a = "\\u009B"\nb = "\\u202E\\U000E0041"\n'
    )


def test_a_diff_breaks_lines_where_toml_does() -> None:
    """A line separator inside a value is a part of its line."""
    assert unified('a = "x\u2028y"\n', 'a = "x\u2028z"\n', name="f") == (
        '--- f (before)\n+++ f (after)\n@@ -1 +1 @@\n-a = "x\u2028y"\n+a = "x\u2028z"\n'
    )
