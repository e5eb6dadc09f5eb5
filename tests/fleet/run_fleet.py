"""What happens to a fleet whose platform starts, restarts, refuses, or loses a server.

Every host runs the daemon's own loops (`light_fleet/hosts.py`); the servers are processes
of their own, one on SQLite, and two on PostgreSQL; a balancer notes every request. Each
scenario is a line of the table, and a panel of `docs/img/fleet-DATABASE.png`. A target that
is missed ends the program with 1. Arrivals are counted after the first interval.

    make fleet N=2000                     # heartbeats every 30 s, outages of 300 s
    make fleet N=200 INTERVAL=5 OUTAGE=60 # sooner; the output says so

Each of the seven scenarios takes three intervals and its outage, and the last one on
PostgreSQL a minute more; the hosts start in the first, some tens a second.
"""

import argparse
import os
import platform
import resource
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import anyio

CHECKOUT = Path(__file__).parents[2]
sys.path += [str(CHECKOUT / "tests" / place) for place in ("support", "soak", "fleet")]
from light_fleet.fleet import running_fleet  # noqa: E402
from light_fleet.plots import drawing, write_png  # noqa: E402
from light_fleet.scenarios import Result, Scenario, measure, scenarios  # noqa: E402
from rig.ending import leaving_nothing  # noqa: E402
from rig.servers import Servers, servers_on, two_servers  # noqa: E402

FIVE_MINUTES = 300.0
PROCESSES, LEAST = 4, 6
"""How many have the hosts at most, and how many hosts are worth one more."""
PACE = 20.0
"""Mutations a second, at most one for each host in an interval."""
DATABASES = ("sqlite", "postgresql")
HEAD = (
    "scenario",
    "arrivals/s",
    "peak/mean",
    "healthy",
    "new value",
    "worst answer",
    "5xx",
    "lost",
    "",
)


@contextmanager
def served_by(database: str, interval: float) -> Iterator[Servers]:
    """Lend the servers of a database, durable as in production."""
    pace = ("--heartbeat-interval-ms", str(round(interval * 1000)))
    options = (*pace, "--log-level", "error", "--stop-seconds", "10")
    with tempfile.TemporaryDirectory(prefix="fleet-") as place:
        if database == "sqlite":
            with servers_on(
                Path(place), f"sqlite:///{place}/platform.db", 1, *options
            ) as one:
                yield one
        else:
            with two_servers(Path(place), *options, is_durable=True) as two:
                yield two


async def run(
    servers: Servers,
    size: int,
    interval: float,
    chosen: Sequence[Scenario],
    show: Callable[[Result], None],
) -> None:
    """Show the result of each scenario; the hosts are started by the first."""
    processes = min(PROCESSES, 1 + size // LEAST)
    async with running_fleet(servers, size, interval, processes) as fleet:
        await fleet.set_value(1)
        pace = min(PACE, size / interval)
        for number, scenario in enumerate(chosen):
            show(await measure(fleet, scenario, pace))
            if number == 0:
                await fleet.learn_hosts()


def cells(result: Result) -> tuple[str, ...]:
    """Return a line of the table."""

    def seconds(value: float | None) -> str:
        return "never" if value is None else f"{value:.1f} s"

    return (
        result.name,
        f"{result.mean:.0f}",
        f"{result.peak_ratio:.1f}",
        seconds(result.healthy),
        seconds(result.holding),
        seconds(result.worst_answer),
        str(result.refused),
        f"{result.lost} of {result.enqueued}",
        f"MISS: {', '.join(result.misses)}" if result.misses else "ok",
    )


def table(line: Sequence[str]) -> str:
    """Return a line, its columns below each other."""
    return f"{line[0]:26}" + "".join(f"{cell:>14}" for cell in line[1:-1]) + f"  {line[-1]}"


async def main(asked: argparse.Namespace) -> bool:
    """Print a line for each scenario; return whether every target was met."""
    passed = True
    print(
        f"{asked.hosts} hosts, a heartbeat every {asked.interval:g} s, outages of "
        f"{asked.outage:g} s"
        + (" (shortened from 300 s)" if asked.outage != FIVE_MINUTES else "")
        + f"; {os.cpu_count()} cores, Python {platform.python_version()}, load average "
        + ", ".join(f"{value:.1f}" for value in os.getloadavg()),
        flush=True,
    )
    for database in asked.database or DATABASES:
        known = scenarios(asked.outage, has_cluster=database == "postgresql")
        chosen = [one for one in known if not asked.only or one.name in asked.only]
        print(table((database, *HEAD[1:])), flush=True)
        results: list[Result] = []

        def show(result: Result, shown: list[Result] = results) -> None:
            print(table(cells(result)), flush=True)
            shown.append(result)

        with served_by(database, asked.interval) as servers:
            await run(servers, asked.hosts, asked.interval, chosen, show)
        passed = passed and not any(result.misses for result in results)
        if asked.plots:
            await draw(database, results, asked.plots)
    print("load average " + ", ".join(f"{value:.1f}" for value in os.getloadavg()))
    return passed


async def draw(database: str, results: Sequence[Result], directory: Path) -> None:
    """Write the picture of a database's results."""
    size, interval = results[0].size, results[0].interval
    path = directory / f"fleet-{database}.png"
    title = f"{size} hosts, a heartbeat every {interval:g} s, {database}"
    if await write_png(drawing(title, results), path):
        print(f"wrote {path}")
    else:
        print(f"{path}: not made (apt-get install chromium-headless-shell)")


def arguments() -> argparse.Namespace:
    """Return what is asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("hosts", type=int)
    parser.add_argument("--interval", type=float, default=30.0)
    parser.add_argument("--outage", type=float, default=FIVE_MINUTES)
    parser.add_argument("--database", action="append", choices=DATABASES)
    parser.add_argument("--only", action="append", help="a scenario, beside the first")
    parser.add_argument("--plots", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with leaving_nothing():
        met = anyio.run(main, arguments(), backend_options={"use_uvloop": True})
    sys.exit(not met)
