"""What mutations cost, beside the least they could cost.

A file of so many projects takes one mutation, or a thousand in one beat, through the real
`Applier` on a real file system; the floor is one bare `tomllib` parse and one fsynced
replacement of the same file, in the same run. Meanwhile another task of the same event
loop looks at the clock every millisecond: how late it ever was is what every other loop
of the daemon would have waited. Run it alone:
`.venv-dev/bin/python tests/bench/mutations.py`.
"""

import argparse
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.to_thread

from rensei_daemon.core.document import ValidConfig
from rensei_daemon.core.guards import Guards
from rensei_daemon.core.mutation_state import Outcome
from rensei_daemon.core.pending_mutation import PendingMutation
from rensei_daemon.disk.applier import Applier
from rensei_daemon.disk.atomic_file import replace_file
from rensei_daemon.disk.config_file import ConfigFile
from rensei_daemon.disk.journal import Journal
from rensei_daemon.disk.journal_database import Database
from rensei_daemon.settings.loading import check_settings, load
from rensei_daemon.settings.model import Settings

HEAD = '[platform]\nurl = "http://127.0.0.1:9"\n[projects]\n'
T = TypeVar("T")


@dataclass(frozen=True)
class Case:
    """So many projects in the file, so many mutations at once."""

    projects: int
    mutations: int
    target_seconds: float


CASES = (Case(100, 1, 0.06), Case(1000, 1000, 1.0), Case(10_000, 1000, 8.0))


def text(projects: int) -> str:
    """Spell a file: a comment above every tenth entry, one repository each."""
    lines = []
    for number in range(projects):
        if number % 10 == 0:
            lines.append(f"\n# team {number // 10}")
        url = f"https://git.example/acme/service-{number}"
        lines.append(f'proj_{number:05} = {{ repositories = ["{url}"] }}')
    return HEAD + "\n".join(lines) + "\n"


def batch(case: Case) -> list[PendingMutation]:
    """Make mutations of all sorts, spread over the file."""
    made = []
    for number in range(case.mutations):
        project = f"proj_{number * 7 % case.projects:05}"
        op, params = (
            ("project.remove", {"id": project}),
            ("project.disable", {"id": project}),
            ("project.add", {"id": project, "repository": "https://git.example/more"}),
            ("project.add", {"id": f"new_{number}", "repository": "https://git.example/n"}),
        )[number % 4]
        made.append(PendingMutation(id=f"dmut_{number}", op=op, params=params))
    return made


def floor(path: Path) -> float:
    """Time a bare parse and an fsynced replacement of the file."""
    started = time.perf_counter()
    content = path.read_bytes()
    tomllib.loads(content.decode())
    replace_file(path, content, mode=0o600)
    return time.perf_counter() - started


async def aside(work: Callable[[], T]) -> tuple[T, float, float]:
    """Work in a thread; return the result, the seconds, and how late the loop ever was."""
    worst = 0.0

    async def look_at_the_clock() -> None:
        nonlocal worst
        while True:
            due = time.perf_counter() + 0.001
            await anyio.sleep(0.001)
            worst = max(worst, time.perf_counter() - due)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(look_at_the_clock)
        await anyio.sleep(0.05)
        worst = 0.0
        started = time.perf_counter()
        result = await anyio.to_thread.run_sync(work)
        seconds = time.perf_counter() - started
        await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()
    return result, seconds, worst


async def measure(case: Case, directory: Path) -> Sequence[str]:
    """Run a case, and return its row of the table."""
    path = directory / "config.toml"
    path.write_text(text(case.projects))
    least = min(floor(path) for _ in range(3))
    now = datetime.now(UTC)
    with closing(Database(directory / "journal.db")) as database:
        database.open(now=now)
        journal = Journal(database)
        file = ConfigFile(path)
        applier = Applier(
            file,
            journal,
            read=lambda: _read(file),
            accept=check_settings,
            guards=lambda: Guards(allow=("*",)),
            boot_id="bench",
        )
        applier.settle()

        def deliver() -> Sequence[Outcome]:
            journal.receive(batch(case), now)
            return applier.apply()[0]

        outcomes, seconds, worst = await aside(deliver)
    assert len(outcomes) == case.mutations
    assert not any(outcome.error for outcome in outcomes)
    return (
        f"{case.mutations:,} on {case.projects:,}",
        f"{seconds * 1000:,.0f} ms",
        f"{case.target_seconds * 1000:,.0f} ms",
        f"{least * 1000:,.1f} ms",
        f"{seconds / least:.1f} x",
        f"{worst * 1000:.0f} ms",
    )


def _read(file: ConfigFile) -> ValidConfig[Settings]:
    document = file.read()
    settings = load(document.text, path=file.path, environ={}, tree=document.tree)
    return ValidConfig(document, settings)


async def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", type=Path, help="a file system to try it on")
    arguments = parser.parse_args()
    head = ("mutations", "took", "target", "floor", "ratio", "loop late by")
    rows: list[Sequence[str]] = [head]
    for case in CASES:
        with tempfile.TemporaryDirectory(dir=arguments.directory) as directory:
            rows.append(await measure(case, Path(directory)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = zip(row, widths, strict=True)
        print("  ".join(cell.rjust(width) for cell, width in cells))
    sys.stdout.flush()


if __name__ == "__main__":
    anyio.run(main)
