"""Tables for a terminal: rows and a width to lines; pure.

Nothing is cut, because what is read may be copied into the next command. A column whose
cells hold blanks may be broken at them; if the table is still too wide, each row becomes a
block of `TITLE  value` lines. Widths count the columns of a terminal: wide characters take
two, combining ones none.
"""

import unicodedata
from collections.abc import Callable, Sequence

GAP = "  "
NARROWEST = 12
"""Columns of the terminal that a broken sentence has at least."""
SENTENCE = 5
"""Words of a cell that is one; a shorter one may be as narrow as its longest word."""

Row = Sequence[str]
Paint = Callable[[str, str], str]
"""Returns (part of a cell, the whole cell) with the colour that the cell has."""


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


def draw(head: Row, rows: Sequence[Row], *, width: int, paint: Paint) -> list[str]:
    """Return the lines of a table; no line is wider than `width` if its words are not."""
    every = [head, *rows]
    natural = [max(map(display_width, column)) for column in zip(*every, strict=True)]
    narrowest = [_narrowest(column) for column in zip(*every, strict=True)]
    sizes = _shrink(natural, narrowest, width - len(GAP) * (len(head) - 1))
    if sizes is None:
        return _blocks(head, rows, width, paint)
    return [line for row in every for line in _lines(row, sizes, paint)]


def _narrowest(column: Sequence[str]) -> int:
    words = [text.split(" ") for text in column]
    least = NARROWEST if any(len(cell) >= SENTENCE for cell in words) else 0
    return max(least, *(display_width(word) for cell in words for word in cell))


def _shrink(
    natural: Sequence[int], narrowest: Sequence[int], width: int
) -> list[int] | None:
    """Return sizes that fit, the widest column shrunk first; None if none do."""
    sizes = list(natural)
    while sum(sizes) > width:
        able = [i for i, size in enumerate(sizes) if size > narrowest[i]]
        if not able:
            return None
        sizes[max(able, key=lambda i: sizes[i])] -= 1
    return sizes


def break_text(text: str, width: int) -> list[str]:
    """Return lines broken at blanks; a word that is wider stands alone."""
    lines = [""]
    for word in text.split(" "):
        joined = f"{lines[-1]} {word}" if lines[-1] else word
        if lines[-1] and display_width(joined) > width:
            lines.append(word)
        else:
            lines[-1] = joined
    return lines


def _lines(row: Row, sizes: Sequence[int], paint: Paint) -> list[str]:
    broken = [break_text(text, size) for text, size in zip(row, sizes, strict=True)]
    lines = []
    for number in range(max(map(len, broken))):
        line, blanks = "", ""
        for text, size, parts in zip(row, sizes, broken, strict=True):
            part = parts[number] if number < len(parts) else ""
            line += blanks + (paint(part, text) if part else "")
            blanks = " " * (size - display_width(part)) + GAP
        lines.append(line.rstrip())
    return lines


def _blocks(head: Row, rows: Sequence[Row], width: int, paint: Paint) -> list[str]:
    margin = max(map(display_width, head))
    lines: list[str] = []
    for row in rows:
        lines += [""] if lines else []
        for title, text in zip(head, row, strict=True):
            parts = break_text(text, width - margin - len(GAP)) if text.strip() else []
            for index, part in enumerate(parts):
                first = pad("" if index else title, margin)
                lines.append(f"{first}{GAP}{paint(part, text)}")
    return lines
