"""`install`: make the daemon a service of this host, or of one user."""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from rensei_daemon.cli.completion import script, script_places
from rensei_daemon.cli.packaged import packaged
from rensei_daemon.cli.printing import json_option, print_json
from rensei_daemon.cli.steps import (
    MakeDirectory,
    RunProgram,
    Step,
    WriteConfig,
    WriteFile,
)
from rensei_daemon.cli.unit import (
    NAME,
    SYSTEM,
    HostPlaces,
    Places,
    host_places,
    out_of_reach,
    running,
    this_program,
    user_places,
)
from rensei_daemon.errors import NotPermittedError, UsageError
from rensei_daemon.locations import user_config_home, user_data_home, user_state_home

_NO_KEY_FILE = '# api_key_file = "/etc/rensei-daemon/api-key"'

_OPTIONS = (
    click.option("--user", is_flag=True, help="For this user's own service manager."),
    click.option(
        "--root",
        type=click.Path(exists=True, file_okay=False, resolve_path=True, path_type=Path),
        default=SYSTEM,
        help="The system in this directory instead, such as an image.",
    ),
    click.option("--dry-run", is_flag=True, help="Only say what would be done."),
    json_option,
)


def host_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of `install`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command("install")
@host_options
def command(user: bool, root: Path, dry_run: bool, as_json: bool) -> None:
    """Make this program a service: its unit, its user, its directories, a first config.

    The completions of bash, zsh and fish come along.

    Running it again brings the unit up to date. A config that exists is never touched.

    Example: rensei-daemon install --dry-run
    """
    places = chosen_places(user, root, dry_run)
    program = this_program()
    said = perform(install_steps(places, program), dry_run=dry_run, quiet=as_json)
    hidden = None if user or root != SYSTEM else out_of_reach(program)
    if hidden is not None:
        click.echo(
            f"{NAME}: note: {program} cannot run as a service, which may not enter "
            f"{hidden}\n"
            f"  put it where it can: python3 -m venv /opt/{NAME} && "
            f"/opt/{NAME}/bin/pip install {NAME}",
            err=True,
        )
    following = list(next_commands(places, program))
    if as_json:
        print_json({"dry_run": dry_run, "steps": said, "next": following})
    else:
        click.echo("\n  ".join(("\nnext:", *following)))


def chosen_places(user: bool, root: Path, dry_run: bool) -> Places:
    """Return where the files go; raises `UsageError` and `NotPermittedError`."""
    if user:
        if root != SYSTEM:
            raise UsageError("--user and --root exclude each other")
        homes = (user_config_home, user_state_home, user_data_home)
        return user_places(*(home(os.environ) for home in homes))
    if os.geteuid() != 0 and not dry_run:
        raise NotPermittedError(
            "only root can change the services of this host",
            hint="use sudo, or --user for a service of your own",
        )
    return host_places(root)


def perform(steps: Sequence[Step], *, dry_run: bool, quiet: bool) -> list[str]:
    """Return a line a step, done or, in a dry run, only planned; print it unless quiet."""
    said = []
    for step in steps:
        said.append(f"would {step.plan()}" if dry_run else step.carry_out())
        if not quiet:
            click.echo(said[-1])
    return said


def install_steps(places: Places, program: Path) -> list[Step]:
    """Return what makes the program a service, in order."""
    example = packaged("config.example.toml")
    if places.host is None:
        unit = packaged("systemd/user/rensei-daemon.service")
        prelude: list[Step] = []
        # A user's manager has no credential store to find the key in.
        example = example.replace(_NO_KEY_FILE, f'api_key_file = "{places.key.name}"')
    else:
        unit = packaged("systemd/rensei-daemon.service")
        prelude = _host_steps(places.root, places.host)
    return [
        *prelude,
        WriteConfig(places.config, example),
        WriteFile(places.unit, running(program, unit)),
        *tell_manager(places),
        *(
            WriteFile(path, script(shell))
            for shell, path in script_places(places.share).items()
        ),
    ]


def tell_manager(places: Places) -> list[Step]:
    """Return what has the service manager, if it runs, read its units again."""
    if not places.is_manager_there(os.environ):
        return []
    return [RunProgram((*places.systemctl, "daemon-reload"))]


def next_commands(places: Places, program: Path) -> Iterator[str]:
    """Yield the commands that lead from here to a daemon that works."""
    manager = " ".join(places.systemctl)
    name = NAME if shutil.which(NAME) == str(program) else str(program)
    config = f" --config {places.config}" if places.host is None else ""
    if places.is_enabled():
        yield f"{manager} restart {NAME}"
        yield f"{name} status{config}"
        return
    if not places.has_key():
        yield f"install -m 0600 /dev/stdin {places.key}    # the API key, then Ctrl-D"
    yield f"${{EDITOR:-vi}} {places.config}"
    yield f"{name} config check {places.config}"
    if places.root != SYSTEM:
        yield f"{manager} enable {NAME}"
        return
    if places.host is None:
        yield "loginctl enable-linger    # so that it runs while you are not logged in"
    yield f"{manager} enable --now {NAME}"
    yield f"{name} status{config}"


def _host_steps(root: Path, host: HostPlaces) -> list[Step]:
    """Return what makes the user and the directories; the files name their own."""
    below = () if root == SYSTEM else (f"--root={root}",)
    return [
        WriteFile(host.sysusers, packaged("systemd/sysusers.conf")),
        RunProgram(("systemd-sysusers", *below, host.sysusers.name)),
        WriteFile(host.tmpfiles, packaged("systemd/tmpfiles.conf")),
        RunProgram(("systemd-tmpfiles", "--create", *below, host.tmpfiles.name)),
        MakeDirectory(host.credstore, 0o700),
    ]
