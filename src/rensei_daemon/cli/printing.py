"""Lists and records on standard output: tables for people, tabs and JSON for scripts."""

import json
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click

from rensei_daemon.cli.options import WholeNumber
from rensei_daemon.cli.terminal import Style, Terminal, clean, measure, paint, tolerate
from rensei_daemon.core.duration import format_duration
from rensei_daemon.core.length_limits import MAX_ID
from rensei_daemon.core.table import TITLE_STYLE, Cell, Column, draw
from rensei_daemon.fast_dataclass import dataclass

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
utc_option = click.option(
    "--utc", "in_utc", is_flag=True, help="Show times in UTC instead of ages."
)
limit_option = click.option(
    "-n",
    "limit",
    type=WholeNumber(1, 5000),
    default=20,
    metavar="N",
    help="How many; 20 by default.",
)


LONGEST_CELL = MAX_ID
"""Characters shown of a cell: every id in full, because it may be copied."""

_STYLES = {TITLE_STYLE: Style.FAINT} | {style.value: style for style in Style}


@dataclass(frozen=True, slots=True)
class Moment:
    """A time in ISO 8601: an age for people, the time itself for scripts."""

    text: str | None


@dataclass(frozen=True, slots=True)
class Coloured:
    """A text with a style on a terminal."""

    text: str
    style: Style


Value = str | Moment | Coloured


def outcome(text: str, kind: str | None = None) -> Coloured | str:
    """Return an outcome in its colour; `kind` is the outcome if the text says more."""
    match kind or text:
        case "applied":
            return Coloured(text, Style.ADDED)
        case "failed":
            return Coloured(text, Style.REMOVED)
        case "cancelled":
            return Coloured(text, Style.FAINT)
        case _:
            return text


def print_json(value: Any) -> None:
    """Print JSON for scripts: complete, and in ASCII, so that no character is invisible."""
    click.echo(json.dumps(value, indent=2))


def print_table(
    columns: Sequence[Column], rows: Sequence[Sequence[Value]], *, in_utc: bool = False
) -> None:
    """Print rows: a table on a terminal, else with tabs between the cells."""
    terminal = measure(sys.stdout, os.environ)
    if terminal.is_tty:
        tolerate(sys.stdout)
    drawn = draw_rows(columns, rows, terminal, datetime.now(UTC), in_utc=in_utc)
    click.echo("\n".join(drawn))


def draw_rows(
    columns: Sequence[Column],
    rows: Sequence[Sequence[Value]],
    terminal: Terminal,
    now: datetime,
    *,
    in_utc: bool = False,
) -> list[str]:
    """Return the lines of a table on a terminal, else with tabs between the cells."""
    if terminal.is_tty:
        return table(columns, rows, terminal, now, in_utc=in_utc)
    return ["\t".join(map(_plain, row)).rstrip("\t") for row in rows]


def table(
    columns: Sequence[Column],
    rows: Sequence[Sequence[Value]],
    terminal: Terminal,
    now: datetime,
    *,
    in_utc: bool = False,
) -> list[str]:
    """Return the lines of a table for this terminal."""
    cells = [[_cell(value, now, in_utc) for value in row] for row in rows]

    def coloured(text: str, style: str) -> str:
        return paint(text, _STYLES[style], colour=terminal.colour) if style else text

    return draw(columns, cells, width=terminal.width, paint=coloured)


def _plain(value: Value) -> str:
    text = value if isinstance(value, str) else value.text
    return clean(text or "-", longest=LONGEST_CELL) if value != "" else ""


def _cell(value: Value, now: datetime, in_utc: bool) -> Cell:
    match value:
        case Moment():
            return Cell(clean(show_time(value.text, now, in_utc=in_utc)))
        case Coloured():
            return Cell(clean(value.text, longest=LONGEST_CELL), value.style.value)
        case _:
            return Cell(clean(value, longest=LONGEST_CELL))


def show_time(text: str | None, now: datetime, *, in_utc: bool = False) -> str:
    """Return a time for people: `3 min ago`, or in UTC to the second.

    A text that is no time is returned as it is.
    """
    if not text:
        return "-"
    try:
        time = datetime.fromisoformat(text)
        if time.tzinfo is None:
            return text
        if in_utc:
            return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"
        seconds = (now - time).total_seconds()
    except (ValueError, OverflowError):
        return text
    if seconds < 0:
        return f"in {format_duration(-seconds)}"
    return f"{format_duration(seconds)} ago"
