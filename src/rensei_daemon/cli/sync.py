"""`sync`: send a heartbeat and take snapshots now, and print the results."""

from pathlib import Path

import click

from rensei_daemon.cli import PROGRAM
from rensei_daemon.cli.control import find_daemon, send_command
from rensei_daemon.cli.daemon_address import daemon_at
from rensei_daemon.cli.options import config_option
from rensei_daemon.cli.printing import json_option, print_json
from rensei_daemon.cli.progress import waiting_for
from rensei_daemon.cli.terminal import clean
from rensei_daemon.control_api.schema import SYNC, Synced, SyncedSession
from rensei_daemon.errors import Failure, RenseiError

TIMEOUT_SECONDS = 60.0


@click.command("sync")
@config_option
@json_option
def command(config: Path | None, as_json: bool) -> int:
    """Send a heartbeat and fetch new credentials now, and print the results.

    Exit codes: 0 all of it succeeded; 69 the platform cannot be reached; 77 it refuses the
    key; 1 another failure, or failures of several kinds.

    Example: rensei-daemon sync
    """
    locations = find_daemon(config)
    with waiting_for("heartbeat and snapshots"):
        answer = send_command(locations, SYNC, timeout_seconds=TIMEOUT_SECONDS)
    if as_json:
        print_json(answer)
    else:
        click.echo(describe(answer), nl=False)
    code = exit_code(answer)
    if code and not as_json:
        hint = daemon_at(locations).hint(f"see what is wrong: {PROGRAM} status")
        click.echo(f"  {hint}", err=True)
    return code


def exit_code(answer: Synced) -> int:
    """Return that of the failures if they have the same one, else 1; 0 without any.

    A daemon that is older than the program says no kind of failure.
    """
    failures = [(answer["beat_error"], answer.get("beat_failure"))]
    failures += [(one["error"], one.get("failure")) for one in answer["sessions"]]
    codes = {_code(failure) for error, failure in failures if error is not None}
    return codes.pop() if len(codes) == 1 else min(len(codes), 1)


def _code(failure: str | None) -> int:
    try:
        return Failure(failure or "").exit_code
    except ValueError:
        return RenseiError.exit_code


def describe(answer: Synced) -> str:
    """Return a line for the heartbeat, and one for each session's snapshot."""
    beat = answer["beat_error"]
    lines = [f"heartbeat: {'sent' if beat is None else f'failed: {clean(beat)}'}"]
    lines += (_describe(session) for session in answer["sessions"])
    return "".join(f"{line}\n" for line in lines)


def _describe(session: SyncedSession) -> str:
    label = f"session {clean(session['id'])}"
    if session["error"] is not None:
        return f"{label}: failed: {clean(session['error'])}"
    if not session["changed"]:
        return f"{label}: unchanged, generation {session['generation']}"
    names = clean(", ".join(session["changed"]))
    return f"{label}: generation {session['generation']}, changed {names}"
