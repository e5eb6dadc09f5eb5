"""A bench as rows: each names its targets, and measures itself and its floor.

    Row ── measure(Run) ──▶ {figure: Measured} ──▶ Result ──▶ table, exit code, page

A target is an absolute limit, a multiple of the floor, or both. The floor is measured in
the same run by the least that could do the same: other processes on the same file system,
without a framework.
"""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

FULL = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a figure has to be below; without a limit it is only shown."""

    unit: str = ""
    below: float | None = None
    calm_floor: float | None = None
    """The floor of a calm run on the machine that the limit was set for. Where the floor
    is higher, the machine is slower or busy, and the limit is as many times higher."""
    ratio: float | None = None
    """The figure has to be below this many times the floor."""

    def limit(self, floor: float | None) -> float | None:
        """Return the limit in a run with this floor; None if there is none."""
        if self.ratio is not None:
            return None if floor is None else self.ratio * floor
        if self.below is None or self.calm_floor is None or floor is None:
            return self.below
        return self.below * max(1.0, floor / self.calm_floor)

    def __str__(self) -> str:
        """Return it as the table shows it."""
        if self.ratio is not None:
            return f"{self.ratio:g} x floor"
        return "" if self.below is None else f"{self.below:g} {self.unit}".strip()


@dataclass(frozen=True, slots=True)
class Measured:
    """A figure and its floor, in the unit of its target."""

    value: float
    floor: float | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """What a row may use."""

    disk: Path
    """A directory on a disk."""
    tmpfs: Path
    """A directory in memory."""
    bin: Path
    """The directory of the programs that are measured."""
    share: float = FULL
    """Of the samples, and of the waits, that a full run takes."""

    def samples(self, count: int) -> int:
        """Return how many samples to take instead of so many."""
        return max(1, round(count * self.share))


Measure = Callable[[Run], Awaitable[Mapping[str, Measured]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the numbers to reach, with a figure for each of its targets."""

    name: str
    """By which it is chosen on the command line."""
    title: str
    note: str
    """What is measured and what the floor is; what of the time is compressed."""
    targets: Mapping[str, Target]
    measure: Measure
    is_long: bool = False
    """Whether it is measured only with --long or by its name."""


class NotMeasuredError(Exception):
    """This machine lacks what the row needs."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table."""

    name: str
    target: Target
    measured: Measured

    @property
    def is_met(self) -> bool:
        """Whether it is below its limit, or has none."""
        limit = self.target.limit(self.measured.floor)
        return limit is None or self.measured.value < limit

    def cells(self) -> tuple[str, str, str, str, str]:
        """Return name, value, floor with ratio, target and verdict."""
        value, floor = self.measured.value, self.measured.floor
        unit = self.target.unit
        beside = ""
        if floor is not None:
            beside = shown(floor, unit) + (f" ({value / floor:.2f} x)" if floor else "")
        return (self.name, shown(value, unit), beside, self._target(), self._verdict())

    def _target(self) -> str:
        limit = self.target.limit(self.measured.floor)
        if limit is None or limit == self.target.below:
            return str(self.target)
        return f"{self.target}: {shown(limit, self.target.unit)}"

    def _verdict(self) -> str:
        if not str(self.target):
            return ""
        return "met" if self.is_met else "MISSED"


@dataclass(frozen=True, slots=True)
class Result:
    """A row that was measured, or why it was not."""

    row: Row
    figures: Sequence[Figure] = ()
    missing: str = ""
    load: float = 0.0
    """The load average when it began: below 0.5 the machine was calm."""
    seconds: float = 0.0

    @property
    def is_met(self) -> bool:
        """Whether every figure is."""
        return all(figure.is_met for figure in self.figures)


@dataclass
class Table:
    """Prints results as they come."""

    say: Callable[[str], None]
    results: list[Result] = field(default_factory=list)

    def add(self, result: Result) -> None:
        """Print a result, and keep it."""
        self.results.append(result)
        head = f"{result.row.title}  [{result.row.name}, load {result.load:.1f}"
        self.say(f"{head}, {result.seconds:.0f} s]")
        if result.missing:
            self.say(f"  not measured: {result.missing}")
        rows = [figure.cells() for figure in result.figures]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for cells in rows:
            padded = (f"{cell:{width}}" for cell, width in zip(cells, widths, strict=True))
            self.say("  " + "   ".join(padded).rstrip())

    @property
    def exit_code(self) -> int:
        """1 if a figure missed its target."""
        return int(not all(result.is_met for result in self.results))


async def measure(row: Row, run: Run, load: float) -> Result:
    """Measure a row."""
    started = time.monotonic()
    try:
        measured = await row.measure(run)
    except NotMeasuredError as error:
        return Result(row, missing=str(error), load=load)
    if measured.keys() != row.targets.keys():
        raise AssertionError((row.name, sorted(measured), sorted(row.targets)))
    figures = [Figure(name, row.targets[name], measured[name]) for name in row.targets]
    return Result(row, figures, load=load, seconds=time.monotonic() - started)


def shown(value: float, unit: str) -> str:
    """Return a number with three digits that count, and its unit."""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    if value and abs(value) < 0.1:
        digits = 4
    return f"{value:.{digits}f} {unit}".strip()


def quantile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that this share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
