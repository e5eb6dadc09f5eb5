"""`credentials`: what this host's sessions have, without showing a value."""

import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rensei_daemon.cli.control import config_option, find_daemon
from rensei_daemon.cli.printing import json_option, print_json
from rensei_daemon.cli.rotate_credential import rotate
from rensei_daemon.cli.session_lookup import session_option, session_state, sessions_of
from rensei_daemon.cli.terminal import clean, columns, tolerate
from rensei_daemon.core.credential_frames import SessionState
from rensei_daemon.core.duration import format_duration
from rensei_daemon.errors import DeliveryError
from rensei_daemon.locations import Locations

if TYPE_CHECKING:
    from rensei_daemon.core.session_report import (
        ConsumerReport,
        SessionReport,
        VariableReport,
    )

RETRY_SECONDS = (0.1, 0.5)
"""The first wait and the longest: all workers of a host may wait at the same time."""


@click.group("credentials")
def command() -> None:
    """See what this host's sessions have, and wait for it.

    Example: rensei-daemon credentials list
    """


@command.command("list")
@json_option
@config_option
def list_(as_json: bool, config: Path | None) -> None:
    """List every session's variables and consumers; a fingerprint stands for a value.

    Equal fingerprints are equal values, for as long as one daemon runs.

    Example: rensei-daemon credentials list
    """
    sessions = sessions_of(find_daemon(config))
    tolerate(sys.stdout)
    if as_json:
        print_json({"sessions": sessions})
        return
    now = datetime.now(UTC)
    if not sessions:
        click.echo("no sessions are configured: [[credentials.sessions]]")
    click.echo("\n".join(_describe(session, now) for session in sessions), nl=False)


def _describe(session: "SessionReport", now: datetime) -> str:
    head = f"session {clean(session['id'])}: "
    if session["generation"]:
        head += f"generation {session['generation']}"
        head += f", refreshed {_ago(session['refreshed_at'], now)}"
    else:
        head += "no credentials yet"
    if session["error"]:
        head += f"\n  {clean(session['error'])}"
    lines = [head]
    variables = [_variable(variable, now) for variable in session["variables"]]
    lines += _table(("VARIABLE", "FINGERPRINT", "CHANGED"), variables)
    consumers = [_consumer(consumer) for consumer in session["consumers"]]
    lines += _table(("CONSUMER", "KIND", "GENERATION"), consumers)
    return "".join(f"{line}\n" for line in lines)


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    if not rows:
        return []
    return [f"  {line}" for line in columns([titles, *rows])]


def _variable(variable: "VariableReport", now: datetime) -> tuple[str, ...]:
    changed = _ago(variable["changed_at"], now)
    return (clean(variable["name"]), variable["fingerprint"], changed)


def _consumer(consumer: "ConsumerReport") -> tuple[str, ...]:
    generation, lag = consumer["generation"], consumer["lag"]
    text = "none yet" if generation is None else str(generation)
    if lag:
        text += f" ({lag} behind)"
    return (clean(consumer["name"]), consumer["kind"], text)


def _ago(time: str | None, now: datetime) -> str:
    if not time:
        return "never"
    return f"{format_duration((now - datetime.fromisoformat(time)).total_seconds())} ago"


@command.command("wait")
@session_option
@click.option(
    "--timeout",
    "timeout_seconds",
    type=click.FloatRange(min=0),
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
    while (state := _ask(locations, session_id, deadline)).missing:
        session_id = state.id
        if time.monotonic() + retry >= deadline:
            raise DeliveryError(
                f"session {session_id}: {clean(state.missing)} after {timeout_seconds:g} s",
                hint="see why: rensei-daemon status",
            )
        time.sleep(retry)
        retry = min(2 * retry, longest)
    if as_json:
        waited = round(time.monotonic() - started, 3)
        print_json({"session": state.id, "waited_seconds": waited})


def _ask(locations: Locations, session_id: str | None, deadline: float) -> SessionState:
    left = max(deadline - time.monotonic(), 0.0)
    return session_state(locations, session_id, wait_seconds=left)


command.add_command(rotate)
