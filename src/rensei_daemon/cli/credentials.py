"""`credentials`: what this host's sessions have, without showing a value."""

import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rensei_daemon.cli.control import find_daemon
from rensei_daemon.cli.get_credential import get
from rensei_daemon.cli.options import Seconds, config_option, session_option
from rensei_daemon.cli.printing import (
    Coloured,
    Moment,
    Value,
    draw_rows,
    json_option,
    print_json,
    show_time,
    utc_option,
)
from rensei_daemon.cli.progress import progress
from rensei_daemon.cli.rotate_credential import rotate
from rensei_daemon.cli.session_lookup import session_state, sessions_of
from rensei_daemon.cli.terminal import Style, Terminal, clean, measure, tolerate
from rensei_daemon.core.credential_frames import SessionState
from rensei_daemon.core.table import Column
from rensei_daemon.errors import DeliveryError
from rensei_daemon.fast_dataclass import replace
from rensei_daemon.locations import Locations

if TYPE_CHECKING:
    from rensei_daemon.core.session_report import (
        ConsumerReport,
        SessionReport,
        VariableReport,
    )

_MARGIN = "  "
_VARIABLES = (
    Column("VARIABLE", is_flexible=True),
    Column("FINGERPRINT"),
    Column("CHANGED"),
)
_CONSUMERS = (Column("CONSUMER", is_flexible=True), Column("KIND"), Column("GENERATION"))
RETRY_SECONDS = (0.1, 0.5)
"""The first wait and the longest: all workers of a host may wait at the same time."""


@click.group("credentials")
def command() -> None:
    """See what this host's sessions have, and wait for it.

    Example: rensei-daemon credentials list
    """


@command.command("list")
@utc_option
@json_option
@config_option
def list_(in_utc: bool, as_json: bool, config: Path | None) -> None:
    """List every session's variables and consumers; a fingerprint stands for a value.

    Equal fingerprints are equal values, for as long as one daemon runs.

    Example: rensei-daemon credentials list
    """
    sessions = sessions_of(find_daemon(config))
    tolerate(sys.stdout)
    if as_json:
        print_json({"sessions": sessions})
        return
    now, terminal = datetime.now(UTC), measure(sys.stdout, os.environ)
    if not sessions:
        click.echo("no sessions are configured: [[credentials.sessions]]")
    texts = (describe(session, now, terminal, in_utc=in_utc) for session in sessions)
    click.echo("\n".join(texts), nl=False)


def describe(
    session: "SessionReport", now: datetime, terminal: Terminal, *, in_utc: bool
) -> str:
    """Return what a session has, and who has it; tables are for terminals."""
    head = f"session {clean(session['id'])}: "
    if session["generation"]:
        head += f"generation {session['generation']}, refreshed "
        head += show_time(session["refreshed_at"], now, in_utc=in_utc)
    else:
        head += "no credentials yet"
    if session["error"]:
        head += f"\n  {clean(session['error'])}"
    lines = [head]
    for columns, rows in (
        (_VARIABLES, [_variable(one) for one in session["variables"]]),
        (_CONSUMERS, [_consumer(one) for one in session["consumers"]]),
    ):
        if rows:
            narrower = replace(terminal, width=terminal.width - len(_MARGIN))
            drawn = draw_rows(columns, rows, narrower, now, in_utc=in_utc)
            lines += [f"{_MARGIN}{line}" for line in drawn]
    return "".join(f"{line}\n" for line in lines)


def _variable(variable: "VariableReport") -> list[Value]:
    return [variable["name"], variable["fingerprint"], Moment(variable["changed_at"])]


def _consumer(consumer: "ConsumerReport") -> list[Value]:
    generation, lag = consumer["generation"], consumer["lag"]
    text = "none yet" if generation is None else str(generation)
    shown: Value = Coloured(f"{text} ({lag} behind)", Style.REMOVED) if lag else text
    return [consumer["name"], consumer["kind"], shown]


@command.command("wait")
@session_option
@click.option(
    "--timeout",
    "timeout_seconds",
    type=Seconds(min=0),
    default=60.0,
    show_default=True,
    metavar="S",
    help="Give up after so many seconds.",
)
@config_option
@json_option
def wait(
    session_id: str | None, timeout_seconds: float, config: Path | None, as_json: bool
) -> None:
    """Wait until a session has credentials, and its env file holds them.

    The daemon is asked over the credential socket, so a worker that may have the
    session's credentials may wait for them. A daemon that is not running yet is waited
    for too. A hook is not: it may well reload the very unit that waits here.

    Exit codes: 0 they are there; 1 they did not come in time; 3 the daemon is not
    running, 64 no such session, 77 not permitted.

    \b
    Example, in a worker's unit:
      ExecStartPre=/usr/bin/rensei-daemon credentials wait --session build
      EnvironmentFile=-/run/rensei-daemon/build.env
    """  # noqa: D301 - \b is click's mark for a paragraph to leave alone
    locations = find_daemon(config)
    started = time.monotonic()
    deadline = started + timeout_seconds
    retry, longest = RETRY_SECONDS
    with progress() as shown:
        while (state := _ask(locations, session_id, deadline)).missing:
            session_id = state.id
            if time.monotonic() + retry >= deadline:
                what = f"{clean(state.missing)} after {timeout_seconds:g} s"
                raise DeliveryError(
                    f"session {session_id}: {what}", hint="see why: rensei-daemon status"
                )
            shown.show(f"session {session_id}: {state.missing}")
            time.sleep(retry)
            retry = min(2 * retry, longest)
    if as_json:
        waited = round(time.monotonic() - started, 3)
        print_json({"session": state.id, "waited_seconds": waited})


def _ask(locations: Locations, session_id: str | None, deadline: float) -> SessionState:
    left = max(deadline - time.monotonic(), 0.0)
    return session_state(locations, session_id, wait_seconds=left)


command.add_command(get)
command.add_command(rotate)
