"""`reload`: make the daemon read its configuration again, and print what changed."""

import os
from pathlib import Path

import click

from rensei_daemon.cli.control import find_daemon, send_command
from rensei_daemon.cli.daemon_address import daemon_at
from rensei_daemon.cli.options import config_option
from rensei_daemon.cli.printing import json_option, print_json
from rensei_daemon.cli.terminal import clean
from rensei_daemon.control_api.schema import RELOAD, Reloaded
from rensei_daemon.locations import Locations

TIMEOUT_SECONDS = 15.0


@click.command("reload")
@config_option
@json_option
def command(config: Path | None, as_json: bool) -> None:
    """Have the daemon read its configuration again now.

    A file that cannot be used changes nothing; the error names the place: exit code 78.

    Example: rensei-daemon reload
    """
    locations = find_daemon(config)
    answer = send_command(locations, RELOAD, timeout_seconds=TIMEOUT_SECONDS)
    if stored := _awaiting_restart(locations):
        answer["needs_restart"] = [*answer["needs_restart"], f"the API key in {stored}"]
    if as_json:
        print_json(answer)
    else:
        click.echo(daemon_at(locations).hint(describe(answer)), nl=False)


def _awaiting_restart(locations: Locations) -> Path | None:
    if locations.unit_scope is None:
        return None  # no unit, so no credential; and the import is slow
    from rensei_daemon.doctor.api_key import key_awaiting_restart

    return key_awaiting_restart(locations, os.environ)


def describe(answer: Reloaded) -> str:
    """Return what a reload changed, a line for each kind of change."""
    lines = []
    if answer["applied"]:
        lines.append(f"in effect now: {clean(', '.join(answer['applied']))}")
    if answer["needs_restart"]:
        keys = clean(", ".join(answer["needs_restart"]))
        lines.append(f"needs a restart: {keys}")
        lines.append("  systemctl restart rensei-daemon")
    if not lines:
        lines.append("nothing has changed")
    return "".join(f"{line}\n" for line in lines)
