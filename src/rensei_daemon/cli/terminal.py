"""Output for terminals: width, colours, columns, and escapes of foreign text.

Text from elsewhere (a platform's error, a line of a file) may contain control characters
that move the cursor or change the title of the window; they are escaped.
"""

import io
import os
import re
import sys
import textwrap
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import TextIO

from rensei_daemon.core.escaping import LONGEST_LINE, escape_line, escape_lines
from rensei_daemon.core.table import GAP, display_width, pad
from rensei_daemon.fast_dataclass import dataclass

NARROWEST, USUAL = 40, 80
WIDEST = 100
"""For prose; columns may be wider."""
_BLANKS = re.compile(r"[ \t\r\n]+")


class Style(StrEnum):
    """The meaning of a colour, as SGR parameters."""

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
    """Detect a terminal; colours are for terminals, unless NO_COLOR is set."""
    if not output.isatty():
        return Terminal()
    try:
        columns = os.get_terminal_size(output.fileno()).columns
    except OSError:
        columns = 0
    colour = not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
    return Terminal(max(columns or USUAL, NARROWEST), colour, is_tty=True)


def tolerate(output: TextIO) -> None:
    """Replace our signs by question marks if the encoding of the output lacks them."""
    if isinstance(output, io.TextIOWrapper):
        output.reconfigure(errors="replace")


def paint(text: str, style: Style, *, colour: bool) -> str:
    """Put a text in a colour, if there are colours."""
    return f"\x1b[{style}m{text}\x1b[0m" if colour else text


def clean(text: object, *, longest: int = LONGEST_LINE) -> str:
    """Return foreign text as one line of visible characters.

    On a terminal it is cut to `longest`.
    """
    line = " ".join(filter(None, _BLANKS.split(str(text))))
    return escape_line(line, longest=_limit(longest))


def clean_lines(text: str) -> str:
    """Return lines with escapes: a diff, an error; on a terminal long ones are cut."""
    return escape_lines(text, longest=_limit(LONGEST_LINE))


def _limit(longest: int) -> int | None:
    return longest if sys.stdout.isatty() else None


def wrap(text: str, width: int, *, first: str = "", rest: str = "") -> str:
    """Break a text into lines, each after its margin; a word too long is not broken."""
    return textwrap.fill(
        text,
        min(width, WIDEST),
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Align cells in columns, two spaces apart; none is cut."""
    widths = [max(map(display_width, column)) for column in zip(*rows, strict=True)]
    return [
        GAP.join(pad(cell, size) for cell, size in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
