"""`rensei-daemon logs`: the daemon's log, wherever it is, formatted for people.

The journal of the unit is preferred to `log.jsonl`. Only `[paths]` of the config is read,
so this works even if the rest of it is invalid.
"""

import os
import sys
from collections.abc import Generator, Iterable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import click

from rensei_daemon.cli.completion import mutation_ids, session_ids
from rensei_daemon.cli.control import find_daemon, send_command
from rensei_daemon.cli.log_hints import no_log, nothing_found, unknown_event
from rensei_daemon.cli.options import WholeNumber, config_option
from rensei_daemon.cli.parse_time import parse_time
from rensei_daemon.cli.printing import print_json
from rensei_daemon.cli.terminal import clean, clean_lines, measure
from rensei_daemon.control_api.schema import SET_LOG_LEVEL, LogLevelAnswer
from rensei_daemon.core.escaping import LONGEST_LINE, escape_line
from rensei_daemon.locations import Locations
from rensei_daemon.logs.file_reader import Line, LogFilter, follow_file, read_file
from rensei_daemon.logs.formatting import LEVELS, render_json, render_line
from rensei_daemon.logs.journalctl import has_entries, read_unit

LINES = 50
SET_SECONDS = 5.0
MOST_LINES = 1_000_000_000


@click.command("logs")
@config_option
@click.option("-f", "--follow", is_flag=True, help="Follow new lines.")
@click.option(
    "-n",
    "--lines",
    metavar="N",
    type=WholeNumber(min=0, max=MOST_LINES),
    help=f"How many lines to begin with; {LINES}, or with --since all.",
)
@click.option(
    "--since",
    metavar="T",
    help="From then on: 15m, 2h, 1d, today, 16:00 or an ISO time.",
)
@click.option(
    "--level",
    type=click.Choice(list(LEVELS), case_sensitive=False),
    help="Only this level and above.",
)
@click.option("--event", metavar="NAME", help="Only this event; mutation.* is a pattern.")
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
@click.option(
    "--file", type=click.Path(path_type=Path, readable=False), help="Read this [log].file."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
@click.option(
    "--set-level",
    metavar="LEVEL",
    help="Have the daemon log from debug, info, warning or error on, until it restarts; "
    "config: as its file says.",
)
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
    set_level: str | None,
) -> None:
    """Show the daemon's log.

    Times are shown in UTC; one you give without a zone is this host's. What each event
    means is in docs/events.md.

    Example: rensei-daemon logs -f --level warning
    """
    wanted = LogFilter(
        level=level,
        event=event,
        mutation=mutation,
        session=session,
        since=parse_time(since, datetime.now(UTC).astimezone()) if since else None,
    )
    located = find_daemon(config)
    if set_level is not None:
        _set_level(located, set_level, as_json=as_json)
        if not follow:
            return
    count = LINES if lines is None and since is None else lines
    if follow:
        _hint(unknown_event(wanted))
    with closing(_lines(located, file, wanted, count, follow)) as found:
        shown = _print_quietly(found, as_json=as_json)
    if not shown and count != 0:
        _hint(nothing_found(wanted))


def _set_level(located: Locations, level: str, *, as_json: bool) -> None:
    """Change the running daemon's log level, and print the new one."""
    body = {"level": level.strip().lower()}
    answer: LogLevelAnswer = send_command(
        located, SET_LOG_LEVEL, body, timeout_seconds=SET_SECONDS
    )
    now, usual = clean(answer["level"]), clean(answer["configured_level"])
    if as_json:
        print_json(answer)
    elif now == usual:
        click.echo(f"log level: {now}, as the configuration says")
    else:
        click.echo(f"log level: {now}, until a restart; the configuration says {usual}")
        click.echo("  go back to it: rensei-daemon logs --set-level config")


def _hint(text: str) -> None:
    """Print a message that is not part of the log, to stderr."""
    if text:
        click.echo(clean_lines(text), err=True)


def _lines(
    located: Locations,
    file: Path | None,
    wanted: LogFilter,
    count: int | None,
    follow: bool,
) -> Generator[Line]:
    if file is None and located.unit_scope and has_entries(located.unit_scope):
        yield from read_unit(located.unit_scope, wanted, count, follow=follow)
        return
    path = file or located.log
    if not _is_readable(path):
        # With --file, the journal is not wanted.
        raise no_log(path, asked_for=file is not None, scope=located.unit_scope)
    reader = follow_file if follow else read_file
    yield from reader(path, wanted, count)


def _is_readable(path: Path) -> bool:
    try:
        path.open("rb").close()
    except OSError:
        return False
    return True


def _print_quietly(lines: Iterable[Line], *, as_json: bool) -> bool:
    """Print until the lines end, the reader leaves, or Ctrl-C; return whether any came."""
    try:
        return _print(lines, as_json=as_json)
    except BrokenPipeError:
        # Python flushes stdout again at exit, which must not fail.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    except KeyboardInterrupt:
        sys.exit(130)


def _print(lines: Iterable[Line], *, as_json: bool) -> bool:
    terminal = measure(sys.stdout, os.environ)
    longest = LONGEST_LINE if terminal.is_tty else None
    is_any = False
    for line in lines:
        is_any = True
        if isinstance(line, str):
            text = escape_line(line, longest=longest)
        elif as_json:
            text = render_json(line)
        else:
            text = render_line(line, colour=terminal.colour, longest=longest)
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    return is_any
