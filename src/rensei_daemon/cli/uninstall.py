"""`uninstall`: undo `install`, and print what is left."""

import os
import shlex
from pathlib import Path

import click

from rensei_daemon.cli.completion import script_places
from rensei_daemon.cli.install import (
    chosen_paths,
    host_options,
    notify_manager,
    perform,
)
from rensei_daemon.cli.install_paths import SYSTEM, InstallPaths
from rensei_daemon.cli.install_steps import RemoveFile, RemoveTree, RunProgram, Step
from rensei_daemon.cli.own_program import NAME, removal, this_program
from rensei_daemon.cli.printing import print_json
from rensei_daemon.errors import RenseiError
from rensei_daemon.locations import find_paths


@click.command("uninstall")
@host_options
@click.option("--purge", is_flag=True, help="Remove config, key and record as well.")
def command(user: bool, root: Path, dry_run: bool, as_json: bool, purge: bool) -> None:
    """Stop the service, remove its unit and the completions; say what is left.

    Config, key and state are kept without --purge; user and program always are.

    Example: rensei-daemon uninstall --dry-run
    """
    places = chosen_paths(user, root, dry_run)
    require_ours(places, purge)
    left = final_commands(places, purge)  # while the config can still be read
    steps = uninstall_steps(places, purge)
    lines = perform(steps, dry_run=dry_run, quiet=as_json)
    if as_json:
        print_json({"dry_run": dry_run, "steps": lines, "left": left})
    else:
        click.echo("\n  ".join(("\nleft in place; to remove it for good:", *left)))


def require_ours(places: InstallPaths, purge: bool) -> None:
    """Raise `RenseiError` if a package has installed the service."""
    if places.packaged_unit is not None and (purge or not places.unit.exists()):
        raise RenseiError(
            f"{places.packaged_unit} is a package's",
            hint=f"apt-get {'purge' if purge else 'remove'} {NAME}",
        )


def uninstall_steps(places: InstallPaths, purge: bool = False) -> list[Step]:
    """Return the steps, in order; after them a packaged unit is in force again."""
    steps: list[Step] = []
    is_replaced = places.packaged_unit is not None
    ours = [places.unit]
    if places.unit.exists() and places.is_manager_there(os.environ) and not is_replaced:
        steps.append(RunProgram((*places.systemctl, "disable", "--now", NAME)))
    elif not is_replaced:
        ours += places.enablements()
    if not is_replaced:
        ours += script_places(places.share).values()
    if places.host is not None:
        ours += [places.host.sysusers, places.host.tmpfiles]
    steps += [RemoveFile(path) for path in ours]
    if purge:
        steps += [RemoveFile(places.key)]
        steps += [RemoveTree(path) for path in (places.config.parent, places.state)]
    return steps + notify_manager(places)


def final_commands(places: InstallPaths, purge: bool = False) -> list[str]:
    """Return the commands that remove what is left."""
    paths = [] if purge else [places.config.parent, places.state]
    if places.host is not None and not purge:
        paths.append(places.key)
    paths += _elsewhere(places)
    if places.drop_ins.is_dir():
        paths.append(places.drop_ins)
    if places.host is not None and places.root != SYSTEM and places.host.link.is_symlink():
        paths.append(places.host.link)
    commands = [shlex.join(("rm", "-r", *map(str, paths)))] if paths else []
    if places.host is not None:
        below = () if places.root == SYSTEM else ("--prefix", str(places.root))
        commands.append(shlex.join(("userdel", *below, NAME)))
    if places.root == SYSTEM:  # the program is part of the image
        link = None if places.host is None else places.host.link
        commands.append(removal(this_program(), link))
    return commands


def _elsewhere(places: InstallPaths) -> list[Path]:
    """Return the state directory of the config, if it names one."""
    try:
        text = places.config.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    named = find_paths(text).get("state")
    if not isinstance(named, str):
        return []
    state = Path("/", places.config.parent.relative_to(places.root), named)
    return [places.root / state.relative_to("/")]
