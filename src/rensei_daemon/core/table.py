"""Tables for a terminal: rows and a width to lines; pure.

Nothing is cut, because what is read may be copied into the next command. A table that is
too wide gives its flexible columns fewer characters, and breaks their cells into several
lines. If that is not enough, each row becomes a block of `TITLE  value` lines.

Cells hold visible text only (`core.escaping`), so what counts is how many columns of the
terminal a character takes: two for wide ones, none for those that combine.
"""

import unicodedata
from collections.abc import Callable, Sequence

from rensei_daemon.fast_dataclass import dataclass

GAP = "  "
NARROWEST = 16
"""Columns of the terminal that a flexible cell has at least."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column's title, and whether its cells may be broken."""

    title: str
    is_flexible: bool = False


@dataclass(frozen=True, slots=True)
class Cell:
    """A text and the name of its style, which may be empty."""

    text: str
    style: str = ""


Paint = Callable[[str, str], str]
"""Returns (text, style) with the colour of the style."""

TITLE_STYLE = "title"


def display_width(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    return sum(map(_width_of, text))


def _width_of(mark: str) -> int:
    if unicodedata.combining(mark) or unicodedata.category(mark) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(mark) in "WF" else 1


def pad(text: str, width: int) -> str:
    """Return the text with blanks up to a width."""
    return text + " " * (width - display_width(text))


def break_text(text: str, width: int) -> list[str]:
    """Return lines no wider than `width`, broken at blanks or else anywhere."""
    lines, line = [], ""
    for word in text.split(" "):
        joined = f"{line} {word}" if line else word
        if display_width(joined) <= width:
            line = joined
            continue
        if line:
            lines.append(line)
        *full, line = _pieces(word, width)
        lines += full
    return [*lines, line]


def _pieces(word: str, width: int) -> list[str]:
    pieces, piece, size = [], "", 0
    for mark in word:
        takes = _width_of(mark)
        if piece and size + takes > width:
            pieces.append(piece)
            piece, size = "", 0
        piece += mark
        size += takes
    return [*pieces, piece]


def draw(
    columns: Sequence[Column], rows: Sequence[Sequence[Cell]], *, width: int, paint: Paint
) -> list[str]:
    """Return the lines of a table that is at most `width` wide."""
    natural = [
        max(display_width(column.title), *(display_width(row[i].text) for row in rows))
        for i, column in enumerate(columns)
    ]
    sizes = _fit(columns, natural, width)
    if sizes is None:
        return _blocks(columns, rows, width, paint)
    titles = [Cell(column.title, TITLE_STYLE) for column in columns]
    return [line for row in (titles, *rows) for line in _lines(row, sizes, paint)]


def _fit(columns: Sequence[Column], natural: list[int], width: int) -> list[int] | None:
    """Return the width of each column; None if they do not fit."""
    sizes = list(natural)
    over = sum(sizes) + len(GAP) * (len(sizes) - 1) - width
    while over > 0:
        flexible = [
            i for i, one in enumerate(columns) if one.is_flexible and sizes[i] > NARROWEST
        ]
        if not flexible:
            return None
        widest = max(flexible, key=lambda i: sizes[i])
        others = [sizes[i] for i in flexible if i != widest]
        floor = max([NARROWEST, *(size for size in others if size < sizes[widest])])
        step = min(over, max(1, sizes[widest] - floor))
        sizes[widest] -= step
        over -= step
    return sizes


def _lines(row: Sequence[Cell], sizes: Sequence[int], paint: Paint) -> list[str]:
    broken = [break_text(cell.text, size) for cell, size in zip(row, sizes, strict=True)]
    lines = []
    for number in range(max(map(len, broken))):
        parts, blanks = [], ""
        for cell, size, texts in zip(row, sizes, broken, strict=True):
            text = texts[number] if number < len(texts) else ""
            parts.append(blanks + paint(text, cell.style) if text else blanks)
            blanks = " " * (size - display_width(text)) + GAP
        lines.append("".join(parts).rstrip())
    return lines


def _blocks(
    columns: Sequence[Column], rows: Sequence[Sequence[Cell]], width: int, paint: Paint
) -> list[str]:
    margin = max(display_width(column.title) for column in columns)
    lines: list[str] = []
    for row in rows:
        lines += [""] if lines else []
        for column, cell in zip(columns, row, strict=True):
            title = paint(pad(column.title, margin), TITLE_STYLE)
            room = max(width - margin - len(GAP), 1)
            for index, text in enumerate(break_text(cell.text, room) if cell.text else ()):
                first = title if index == 0 else " " * margin
                lines.append(f"{first}{GAP}{paint(text, cell.style)}")
    return lines
