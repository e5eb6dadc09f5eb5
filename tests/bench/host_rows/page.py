"""docs/performance.md, from the results of a run."""

import os
import platform
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from host_rows.frame import Figure, Result

PAGE = Path(__file__).parents[3] / "docs/performance.md"
BEGIN, END = "<!-- {}: begin -->", "<!-- {}: end -->"
"""Between them is what a command writes; the rest of the page is written by hand."""


def write(part: str, lines: Sequence[str], page: Path = PAGE) -> None:
    """Replace one part of the page."""
    text = page.read_text()
    head, _, rest = text.partition(BEGIN.format(part))
    _, _, tail = rest.partition(END.format(part))
    body = "\n".join((BEGIN.format(part), *lines, END.format(part)))
    page.write_text(head + body + tail)


def machine() -> str:
    """Return what was measured on, and when."""
    return (
        f"on {datetime.now(UTC):%Y-%m-%d %H:%M} UTC on {os.cpu_count()} cores "
        f"({processor()}, Linux {platform.release()}, Python {platform.python_version()})"
    )


def processor() -> str:
    """Return the name of the processor."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(": ")[2]
    return platform.machine()


def bench_part(results: Sequence[Result], command: str) -> Iterator[str]:
    """Yield the lines of the bench's part."""
    loads = [result.load for result in results]
    yield (
        f"Measured with `{command}` {machine()}. Load average, row by row: "
        f"{min(loads):.1f} to {max(loads):.1f}."
    )
    yield from (
        "",
        "| what | measured | floor (ratio) | target | |",
        "|---|---|---|---|---|",
    )
    for result in results:
        yield f"| **{result.row.title}** | load {result.load:.1f} | | | |"
        if result.missing:
            yield f"| not measured | {result.missing} | | | |"
        yield from map(_line, result.figures)
    yield from ("", "How each is measured:", "")
    yield from (f"- **{result.row.title}** {result.row.note}" for result in results)


def _line(figure: Figure) -> str:
    *cells, verdict = figure.cells()
    strong = f"**{verdict.lower()}**" if verdict == "MISSED" else verdict
    return "| " + " | ".join((*cells, strong)) + " |"
