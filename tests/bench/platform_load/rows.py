"""The rows that a script measures, and its section of docs/platform-performance.md."""

import os
import resource
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from host_rows.page import machine, write

PAGE = Path(__file__).parents[3] / "docs/platform-performance.md"


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    measured: str
    target: str
    floor: str
    passed: bool

    def __str__(self) -> str:
        sign = "ok  " if self.passed else "MISS"
        return f"{sign} {self.what}: {self.measured} (target {self.target}; {self.floor})"


def report(part: str, hosts: int, rows: Iterable[Row]) -> NoReturn:
    """Measure every row with as many open files as may be; exit with 1 if one misses."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    sys.exit(not measure(part, hosts, rows, PAGE if os.environ.get("WRITE") else None))


def measure(part: str, hosts: int, rows: Iterable[Row], page: Path | None) -> bool:
    """Print every row as it is measured; return whether all meet their targets.

    They replace this part of the page, and no other.
    """
    load, found = os.getloadavg()[0], []
    print(f"{part}: {hosts} hosts; load average {load:.1f}", flush=True)
    for row in rows:
        print(row, flush=True)
        found.append(row)
    if page is not None:
        write(part, section(part, hosts, load, found), page)
    return all(row.passed for row in found)


def section(part: str, hosts: int, load: float, rows: Sequence[Row]) -> list[str]:
    """Return the lines of a part of the page."""
    return [
        f"`tests/bench/platform_{part}.py {hosts}` {machine()}, which the load generator "
        f"shares with the server;",
        f"load average {load:.1f} when it began, {os.getloadavg()[0]:.1f} at the end.",
        "",
        "| what | measured | target | beside it | |",
        "|---|---|---|---|---|",
        *(
            f"| {row.what} | {row.measured} | {row.target} | {row.floor} | "
            f"{'met' if row.passed else '**missed**'} |"
            for row in rows
        ),
    ]
