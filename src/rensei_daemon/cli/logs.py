"""`rensei-daemon logs`: the daemon's log, from wherever it is, rendered for people.

The journal of the unit goes first, else `log.jsonl`. Only `[paths]` of the config is
read, so this works while the rest of it is broken.
"""

import os
import re
import sys
from collections.abc import Generator, Iterable
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import click

from rensei_daemon.cli.completion import mutation_ids, session_ids
from rensei_daemon.cli.terminal import measure
from rensei_daemon.errors import NotPermittedError, RenseiError, UsageError
from rensei_daemon.locations import Locations, locate
from rensei_daemon.logs.reading import Line, Wanted, follow_file, read_file
from rensei_daemon.logs.rendering import LEVELS, render_json, render_line
from rensei_daemon.logs.unit import has_entries, read_unit

LINES = 50

_AGO = re.compile(r"(\d+)\s*(s|m|h|d)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@click.command("logs")
@click.option("--config", type=click.Path(path_type=Path), help="The config file.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes.")
@click.option(
    "-n",
    "--lines",
    metavar="N",
    type=click.IntRange(min=0),
    help=f"How many lines to begin with; {LINES}, or with --since all.",
)
@click.option("--since", metavar="T", help="From then on: 15m, 2h, 1d or an ISO time.")
@click.option(
    "--level",
    type=click.Choice(list(LEVELS), case_sensitive=False),
    help="Only this level and above.",
)
@click.option("--event", metavar="NAME", help="Only this event; a * ends a pattern.")
@click.option(
    "--mutation",
    metavar="ID",
    shell_complete=mutation_ids,
    help="Only what concerns this mutation.",
)
@click.option(
    "--session",
    metavar="ID",
    shell_complete=session_ids,
    help="Only what concerns this session.",
)
@click.option("--file", type=click.Path(path_type=Path), help="Read this [log].file.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
def command(
    config: Path | None,
    follow: bool,
    lines: int | None,
    since: str | None,
    level: str | None,
    event: str | None,
    mutation: str | None,
    session: str | None,
    file: Path | None,
    as_json: bool,
) -> None:
    """Show the daemon's log.

    Example: rensei-daemon logs -f --level warning
    """
    wanted = Wanted(
        level=level,
        event=event,
        mutation=mutation,
        session=session,
        since=_moment(since) if since else None,
    )
    located = locate(environ=os.environ, uid=os.getuid(), config=config)
    count = LINES if lines is None and since is None else lines
    with closing(_lines(located, file, wanted, count, follow)) as found:
        _print_quietly(found, as_json=as_json)


def _lines(
    located: Locations,
    file: Path | None,
    wanted: Wanted,
    count: int | None,
    follow: bool,
) -> Generator[Line]:
    if file is None and located.unit_scope and has_entries(located.unit_scope):
        yield from read_unit(located.unit_scope, wanted, count, follow=follow)
        return
    path = file or located.log
    _require_readable(path)
    reader = follow_file if follow else read_file
    yield from reader(path, wanted, count)


def _require_readable(path: Path) -> None:
    try:
        path.open("rb").close()
    except FileNotFoundError as error:
        raise RenseiError(
            f"there is no log: the journal has no entries of the unit, and no {path}",
            hint="a daemon on a terminal logs there; see whether one runs: "
            "rensei-daemon status",
        ) from error
    except PermissionError as error:
        raise NotPermittedError(
            f"{path} is not yours to read",
            hint="run this as root, or join the group systemd-journal to read the "
            "unit's journal",
        ) from error


def _print_quietly(lines: Iterable[Line], *, as_json: bool) -> None:
    """Print until the lines end, the reader leaves, or Ctrl-C; none is an error."""
    try:
        _print(lines, as_json=as_json)
    except BrokenPipeError:
        # Python flushes stdout once more at exit, and must find somebody there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        sys.exit(130)


def _print(lines: Iterable[Line], *, as_json: bool) -> None:
    colour = measure(sys.stdout, os.environ).colour
    for line in lines:
        if isinstance(line, str):
            text = line
        elif as_json:
            text = render_json(line)
        else:
            text = render_line(line, colour=colour)
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


def _moment(text: str) -> datetime:
    """Return the time meant by `15m` or an ISO time; no zone means this host's."""
    now = datetime.now().astimezone()
    if ago := _AGO.fullmatch(text.strip()):
        return now - timedelta(**{_UNITS[ago.group(2)]: int(ago.group(1))})
    try:
        return datetime.fromisoformat(text.strip()).astimezone()
    except ValueError as error:
        raise UsageError(
            f'--since "{text}" is no time',
            hint="like 90s, 15m, 2h, 1d, 2026-11-23 or 2026-11-23T16:00:00Z",
        ) from error
