"""Manners at a terminal: how wide, whether in colour, in columns, and nothing foreign.

Text from elsewhere (a platform's error, a file's line) may hold control characters that
move a cursor or retitle a window; it is shown with these escaped.
"""

import io
import os
import re
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TextIO

from rensei_daemon.core.escaping import LONGEST_LINE, escape_line, escape_lines

NARROWEST, USUAL = 40, 80
WIDEST = 100
"""For prose; what stands in columns may be wider."""
_BLANKS = re.compile(r"[ \t\r\n]+")


class Style(StrEnum):
    """What a text wants to say with its colour: SGR parameters."""

    GOOD = "1;30;42"
    WATCH = "1;30;43"
    BAD = "1;37;41"
    FAINT = "2"
    STRONG = "1"
    ADDED = "32"
    REMOVED = "31"


@dataclass(frozen=True, slots=True)
class Terminal:
    """Where the output goes."""

    width: int = USUAL
    colour: bool = False
    is_tty: bool = False


def measure(output: TextIO, environ: Mapping[str, str]) -> Terminal:
    """Look at the other end: colour is for terminals, unless NO_COLOR asks for none."""
    if not output.isatty():
        return Terminal()
    try:
        columns = os.get_terminal_size(output.fileno()).columns
    except OSError:
        columns = 0
    colour = not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
    return Terminal(max(columns or USUAL, NARROWEST), colour, is_tty=True)


def tolerate(output: TextIO) -> None:
    """Let an output that cannot spell our signs show a question mark for them."""
    if isinstance(output, io.TextIOWrapper):
        output.reconfigure(errors="replace")


def paint(text: str, style: Style, *, colour: bool) -> str:
    """Put a text in a colour, where there are colours."""
    return f"\x1b[{style}m{text}\x1b[0m" if colour else text


def clean(text: object, *, longest: int = LONGEST_LINE) -> str:
    """Make foreign text fit to print: one line of visible characters.

    On a terminal it is cut to `longest`.
    """
    line = " ".join(filter(None, _BLANKS.split(str(text))))
    return escape_line(line, longest=_limit(longest))


def clean_lines(text: str) -> str:
    """Make lines fit to print: a diff, an error; on a terminal long ones are cut."""
    return escape_lines(text, longest=_limit(LONGEST_LINE))


def _limit(longest: int) -> int | None:
    return longest if sys.stdout.isatty() else None


def wrap(text: str, width: int, *, first: str = "", rest: str = "") -> str:
    """Break a text into lines, each behind its margin; a word too long stays whole."""
    return textwrap.fill(
        text,
        min(width, WIDEST),
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Put cells below one another, two spaces apart; none is cut, however wide it is."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(size) for cell, size in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
