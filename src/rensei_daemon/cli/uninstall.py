"""`uninstall`: take back what `install` did, and leave what is the operator's."""

import os
from pathlib import Path

import click

from rensei_daemon.cli.completion import script_places
from rensei_daemon.cli.install import (
    chosen_places,
    host_options,
    perform,
    tell_manager,
)
from rensei_daemon.cli.printing import print_json
from rensei_daemon.cli.steps import RemoveFile, RunProgram, Step
from rensei_daemon.cli.unit import NAME, Places


@click.command("uninstall")
@host_options
def command(user: bool, root: Path, dry_run: bool, as_json: bool) -> None:
    """Stop the service, remove its unit and the completions.

    Config, key, record and user stay.

    Example: rensei-daemon uninstall --dry-run
    """
    places = chosen_places(user, root, dry_run)
    said = perform(uninstall_steps(places), dry_run=dry_run, quiet=as_json)
    left = final_commands(places)
    if as_json:
        print_json({"dry_run": dry_run, "steps": said, "left": left})
    else:
        click.echo("\n  ".join(("\nleft in place; to remove it for good:", *left)))


def uninstall_steps(places: Places) -> list[Step]:
    """Return what ends the service, in order."""
    steps: list[Step] = []
    if places.unit.exists() and places.is_manager_there(os.environ):
        steps.append(RunProgram((*places.systemctl, "disable", "--now", NAME)))
    ours = [places.unit, *script_places(places.share).values()]
    if places.host is not None:
        ours += [places.host.sysusers, places.host.tmpfiles]
    steps += [RemoveFile(path) for path in ours]
    return steps + tell_manager(places)


def final_commands(places: Places) -> list[str]:
    """Return the commands that remove what is the operator's."""
    if places.host is None:
        return [f"rm -r {places.config.parent} {places.state}"]
    return [
        f"rm -r {places.config.parent} {places.state} {places.key}",
        f"userdel {NAME}",
    ]
