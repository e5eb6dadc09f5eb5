"""What the administration commands print: tables for people, tabs and JSON for scripts."""

import json
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import click

from rensei_platform.cli.table import draw
from rensei_platform.errors import StorageError

_USUAL_WIDTH = 80
_WIRE_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")
_COLOURS = {
    **dict.fromkeys(("applied", "works", "resolved"), "32"),
    **dict.fromkeys(("failed", "refused", "denied"), "31"),
    **dict.fromkeys(("drift",), "33"),
    **dict.fromkeys(("cancelled",), "2"),
}
"""SGR parameters of the cells that say how something ended."""
SHOW_SECONDS = 1.0
TICK_SECONDS = 0.25
_ERASE = "\r\x1b[K"
_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def print_json(content: Mapping[str, Any]) -> None:
    """Print an answer as it came."""
    click.echo(json.dumps(content, indent=2))


def unwritten(error: OSError, hint: str) -> StorageError:
    """Return the error of output that is lost, with what to do about it."""
    return StorageError(f"cannot write the output: {error.strerror}", hint=hint)


@contextmanager
def shows_once(another: str) -> Iterator[None]:
    """Say how to get another key or link if the block cannot write the one it shows."""
    try:
        yield
    except OSError as error:
        raise unwritten(error, another) from error


def _set_utc(context: click.Context, _: click.Parameter, value: bool) -> None:
    context.meta[__name__] = value


utc_option = click.option(
    "--utc",
    is_flag=True,
    expose_value=False,
    callback=_set_utc,
    help="Show times in UTC instead of ages.",
)
"""Of a command that calls `print_table` or `print_fields`."""


def is_terminal() -> bool:
    """Whether people read what is printed."""
    return sys.stdout.isatty()


def print_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows: below their titles on a terminal, else with tabs between the cells.

    For people a time of the wire is an age, or with `--utc` the time to the second.
    """
    texts = [[shown(cell) for cell in row] for row in rows]
    if not is_terminal():
        for row in texts:
            click.echo("\t".join(row))
        return
    for_people = _time_shower()
    table = [[for_people(text) for text in row] for row in texts]
    has_colour = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    paint = _paint if has_colour else _leave
    click.echo("\n".join(draw(head, table, width=_width(), paint=paint)))


def _time_shower() -> Callable[[str], str]:
    """Return what shows times as the command was asked to."""
    context = click.get_current_context(silent=True)
    in_utc = bool(context and context.meta.get(__name__))
    return partial(show_time, now=datetime.now(UTC), in_utc=in_utc)


def _width() -> int:
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or _USUAL_WIDTH
    except OSError:
        return _USUAL_WIDTH


def _paint(part: str, cell: str) -> str:
    colour = _COLOURS.get(cell)
    return f"\x1b[{colour}m{part}\x1b[0m" if colour else part


def _leave(part: str, _: str) -> str:
    return part


def show_time(text: str, now: datetime, *, in_utc: bool) -> str:
    """Return a time of the wire as an age, or in UTC; another text as it is."""
    if not _WIRE_TIME.fullmatch(text):
        return text
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return text
    if in_utc:
        return f"{time:%Y-%m-%d %H:%M:%SZ}"
    if time > now:
        return f"in {_duration(time - now)}"
    return f"{_duration(now - time)} ago"


def _duration(span: timedelta) -> str:
    seconds = int(span.total_seconds())
    unit, size = next((one for one in _UNITS if seconds >= one[1]), _UNITS[-1])
    return f"{seconds // size} {unit}"


@contextmanager
def waiting(what: str) -> Iterator[Callable[[], None]]:
    """Give a function that says on a terminal what is waited for, once it takes a second.

    The line is on stderr, and erased at the end.
    """
    started, is_terminal = time.monotonic(), sys.stderr.isatty()
    is_shown = False

    def show() -> None:
        nonlocal is_shown
        waited = time.monotonic() - started
        if is_terminal and waited >= SHOW_SECONDS:
            is_shown = True
            text = f"{_ERASE}{what}, {_duration(timedelta(seconds=waited))}"
            click.echo(text, nl=False, err=True)

    try:
        yield show
    finally:
        if is_shown:
            click.echo(_ERASE, nl=False, err=True)


@contextmanager
def waiting_for(what: str) -> Iterator[None]:
    """Say what is waited for while the block does nothing else."""
    if not sys.stderr.isatty():
        yield
        return
    done = threading.Event()

    def tell() -> None:
        while not done.wait(TICK_SECONDS):
            show()

    with waiting(what) as show:
        teller = threading.Thread(target=tell, daemon=True)
        teller.start()
        try:
            yield
        finally:
            done.set()
            teller.join()


def repeat(seconds: float | None, show: Callable[[], None]) -> None:
    """Show something once, or every few seconds until the user interrupts it."""
    show()
    while seconds is not None:
        time.sleep(seconds)
        if sys.stdout.isatty():
            click.clear()
        show()


watch_option = click.option(
    "--watch",
    "watch_seconds",
    type=click.FloatRange(0.1),
    is_flag=False,
    flag_value=2.0,
    metavar="[SECONDS]",
    help="Show it again and again, every 2 seconds unless told otherwise.",
)


def print_fields(fields: Mapping[str, object]) -> None:
    """Print names and values, one pair a line; times on a terminal as tables show them."""
    width = max(map(len, fields))
    for_people = _time_shower() if sys.stdout.isatty() else str
    for name, value in fields.items():
        click.echo(f"{name.ljust(width)}  {for_people(shown(value))}")


def shown(value: object) -> str:
    """Return a value for a terminal: invisible characters are escaped, `-` is nothing."""
    match value:
        case None | "":
            return "-"
        case str():
            return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in value)
        case bool() | int() | float():
            return str(value).lower()
        case _:
            return json.dumps(value)
