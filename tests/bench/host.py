"""What a host's daemon takes, beside the least it could take: `make bench`.

Every row of the numbers to reach, end to end: real answers, a real disk, TLS, hooks, and a
daemon that has run for a while. Without names all rows are measured that take less than a
few minutes; `--long` adds the others. A missed target ends it with 1.

    .venv-dev/bin/python tests/bench/host.py [ROW …] [--long] [--write] [--list]
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import anyio
from host_rows import page
from host_rows.catalogue import ROWS
from host_rows.ending import leaving_nothing
from host_rows.frame import FULL, Row, Run, Table, measure

CHECKOUT = Path(__file__).parents[2]
TMPFS = Path("/dev/shm")  # noqa: S108 - directories of its own are made in it


def arguments() -> argparse.Namespace:
    """Return what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    names = [row.name for row in ROWS]
    parser.add_argument("rows", nargs="*", choices=[*names, []], metavar="ROW")
    parser.add_argument("--long", action="store_true", help="also the rows that take long")
    parser.add_argument("--write", action="store_true", help=f"write {page.PAGE.name}")
    parser.add_argument("--list", action="store_true", help="only name the rows")
    parser.add_argument("--share", type=float, default=FULL, help="of the samples")
    return parser.parse_args()


def chosen(asked: argparse.Namespace) -> Sequence[Row]:
    """Return the rows to measure."""
    if asked.rows:
        return [row for row in ROWS if row.name in asked.rows]
    return [row for row in ROWS if asked.long or not row.is_long]


async def measure_all(rows: Sequence[Row], run: Run, does_write: bool) -> Table:
    """Measure rows; print each, and write its section, as soon as it is done."""
    table = Table(lambda line: print(line, flush=True))
    for row in rows:
        result = await measure(row, run, os.getloadavg()[0])
        table.add(result)
        if does_write:
            command = f"make bench ROWS={row.name} WRITE=1"
            page.write_rows([result], [row.name for row in ROWS], command)
    return table


def main() -> int:
    """Print the table; return the exit code."""
    asked = arguments()
    if asked.list:
        print(*(f"{row.name:12} {row.title}" for row in ROWS), sep="\n")
        return 0
    disk = CHECKOUT / "build"
    disk.mkdir(exist_ok=True)
    run = Run(disk, TMPFS, CHECKOUT / ".venv/bin", asked.share)
    table = anyio.run(measure_all, chosen(asked), run, asked.write)
    return table.exit_code


if __name__ == "__main__":
    with leaving_nothing():
        sys.exit(main())
