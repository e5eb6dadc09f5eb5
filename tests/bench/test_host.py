"""The bench of a host's daemon, so far as it takes a moment."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))
from host_rows import frame, page
from host_rows.catalogue import ROWS
from host_rows.frame import Figure, Measured, Result, Row, Run, Table, Target

SHOWN = "p50 4.50 ms 1.50 ms (3.00 x) 3 ms MISSED"


def row(name: str) -> Row:
    """Return a row of the bench."""
    return next(row for row in ROWS if row.name == name)


async def test_the_cheapest_row_is_measured(tmp_path: Path) -> None:
    """With one sample: whether it works, not how fast it is."""
    run = Run(tmp_path, tmp_path, Path(sys.executable).parent, share=0)
    result = await frame.measure(row("check"), run, load=1.0)
    (figure,) = result.figures
    assert figure.measured.floor is not None
    assert figure.measured.value > figure.measured.floor > 1


def test_no_two_rows_have_one_name() -> None:
    """The command line chooses by it."""
    assert len({row.name for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize(
    ("target", "measured", "is_met"),
    [
        (Target(below=3), Measured(2.9), True),
        (Target(below=3), Measured(3.0), False),
        (Target(ratio=2), Measured(3.9, 2.0), True),
        (Target(ratio=2), Measured(4.0, 2.0), False),
        (Target(below=3, calm_floor=1), Measured(5.9, 2.0), True),
        (Target(below=3, calm_floor=1), Measured(6.0, 2.0), False),
        (Target(below=3, calm_floor=1), Measured(2.9, 0.5), True),
        (Target(), Measured(9.0), True),
    ],
)
def test_a_figure_is_met_below_its_limit(
    target: Target, measured: Measured, is_met: bool
) -> None:
    """A slower machine has a higher limit, and a faster one no lower one."""
    assert Figure("p50", target, measured).is_met is is_met


def test_a_missed_target_is_said_and_ends_with_1(tmp_path: Path) -> None:
    """In the table, on the page and by the exit code."""
    missed = Figure("p50", Target(unit="ms", below=3), Measured(4.5, 1.5))
    lines: list[str] = []
    table = Table(lines.append)
    table.add(Result(row("check"), [missed], load=0.25))
    assert table.exit_code == 1
    assert lines[1].split() == SHOWN.split()
    there = tmp_path / "performance.md"
    there.write_text("head\n<!-- bench: begin -->\n<!-- bench: end -->\ntail\n")
    for name in ("start", "check", "start"):
        result = Result(row(name), [missed], load=0.25)
        page.write_rows([result], ["check", "start"], "make bench", there)
    written = there.read_text()
    assert written.startswith("head\n")
    assert written.endswith("tail\n")
    assert written.index("### `config check`") < written.index("### Start")
    assert written.count("### ") == 2
    assert "| p50 | 4.50 ms | 1.50 ms (3.00 x) | 3 ms | **missed** |" in written
