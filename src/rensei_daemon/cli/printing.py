"""Lists and records on standard output: columns for people, tabs and JSON for scripts."""

import json
import os
import sys
from typing import Any

import click

from rensei_daemon.cli.terminal import clean, columns, measure
from rensei_daemon.core.length_limits import MAX_ID

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
limit_option = click.option(
    "-n", "limit", type=click.IntRange(1, 5000), default=20, help="How many; 20 by default."
)


LONGEST_CELL = MAX_ID
"""Characters shown of a cell: every id in full, because it may be copied."""


def print_json(value: Any) -> None:
    """Print JSON for scripts: complete, and in ASCII, so that no character is invisible."""
    click.echo(json.dumps(value, indent=2))


def print_table(rows: list[list[str]]) -> None:
    """Print rows: in columns on a terminal, else with tabs between the cells."""
    cells = [[clean(cell, longest=LONGEST_CELL) for cell in row] for row in rows]
    terminal = measure(sys.stdout, os.environ)
    if terminal.is_tty:
        lines = columns(cells)
    else:
        lines = ["\t".join(row).rstrip("\t") for row in cells]
    click.echo("\n".join(lines))
