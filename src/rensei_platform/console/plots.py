"""Plots as inline SVG: numbers in, shapes in the units of the drawing out.

Colours are classes of the style sheet. Each plot stands beside a table or a sentence that
says the same.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 320.0, 72.0
WIDEST = 14.0
"""Of a column, so that a few of them do not look like a wall."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A rectangle of a plot."""

    x: float
    y: float
    width: float
    height: float
    kind: str
    """A class of the style sheet."""
    title: str


def columns(rows: Sequence[tuple[str, Sequence[tuple[str, int]]]]) -> list[Bar]:
    """Return stacked columns of `(label, ((kind, count), ...))`."""
    most = max((sum(count for _, count in parts) for _, parts in rows), default=0)
    if not most:
        return []
    step = WIDTH / len(rows)
    width = min(step * 0.6, WIDEST)
    bars = []
    for number, (label, parts) in enumerate(rows):
        top = HEIGHT
        for kind, count in parts:
            height = HEIGHT * count / most
            top -= height
            if count:
                title = f"{label}: {count:,} {kind}"
                left = step * (number + 0.5) - width / 2
                bars.append(_bar(left, top, width, height, kind, title))
    return bars


def share(parts: Sequence[tuple[str, int]], total: int) -> list[Bar]:
    """Return one line that is divided in proportion to `(kind, count)`."""
    x, bars = 0.0, []
    for kind, count in parts:
        width = WIDTH * count / total if total else 0.0
        if count:
            bars.append(_bar(x, 0, width, 12, kind, f"{count:,} {kind}"))
        x += width
    return bars


def _bar(x: float, y: float, width: float, height: float, kind: str, title: str) -> Bar:
    return Bar(round(x, 2), round(y, 2), round(width, 2), round(height, 2), kind, title)


def log_height(milliseconds: int) -> int:
    """Return the height of a latency: each step of ten is as high, from 1 ms to 100 s."""
    return 1 + round(100 * math.log10(max(milliseconds, 1)))
