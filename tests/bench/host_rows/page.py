"""docs/performance.md, from the results of a run."""

import os
import platform
import re
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


def write_rows(
    results: Sequence[Result], order: Sequence[str], command: str, page: Path = PAGE
) -> None:
    """Replace the sections of these rows, and keep those of the others, in this order."""
    found = dict(_SECTION.findall(page.read_text()))
    for result in results:
        found[result.row.name] = "\n".join(_section(result, command))
    kept = (name for name in order if name in found)
    sections = (f"<!-- row {name} -->\n{found[name]}\n<!-- end -->" for name in kept)
    write("bench", [*sections], page)


_SECTION = re.compile(r"<!-- row ([a-z-]{1,20}) -->\n(.*?)\n<!-- end -->", re.DOTALL)


def _section(result: Result, command: str) -> Iterator[str]:
    yield from (f"### {result.row.title}", "")
    yield f"`{command}` {machine()}; load average {result.load:.1f} when it began."
    yield ""
    if result.missing:
        yield f"Not measured: {result.missing}."
    else:
        yield "| what | measured | floor (ratio) | target | |"
        yield "|---|---|---|---|---|"
        yield from map(_line, result.figures)
    yield from ("", f"How: {result.row.note}")


def _line(figure: Figure) -> str:
    *cells, verdict = figure.cells()
    strong = f"**{verdict.lower()}**" if verdict == "MISSED" else verdict
    return "| " + " | ".join((*cells, strong)) + " |"
