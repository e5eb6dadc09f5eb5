"""What the administration commands print."""

import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import click


def print_json(content: Mapping[str, Any]) -> None:
    """Print an answer as it came."""
    click.echo(json.dumps(content, indent=2))


def print_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows in columns below their titles."""
    lines = [tuple(head), *(tuple(shown(cell) for cell in row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


def repeat(seconds: float | None, show: Callable[[], None]) -> None:
    """Show something once, or every few seconds until the user interrupts it."""
    show()
    while seconds is not None:
        time.sleep(seconds)
        if sys.stdout.isatty():
            click.clear()
        show()


watch_option = click.option(
    "--watch",
    "watch_seconds",
    type=click.FloatRange(0.1),
    is_flag=False,
    flag_value=2.0,
    metavar="[SECONDS]",
    help="Show it again and again, every 2 seconds unless told otherwise.",
)


def print_fields(fields: Mapping[str, object]) -> None:
    """Print names and values, one pair a line."""
    width = max(map(len, fields))
    for name, value in fields.items():
        click.echo(f"{name.ljust(width)}  {shown(value)}")


def shown(value: object) -> str:
    """Return a value for a terminal: invisible characters are escaped, `-` is nothing."""
    match value:
        case None | "":
            return "-"
        case str():
            return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in value)
        case bool() | int() | float():
            return str(value).lower()
        case _:
            return json.dumps(value)
