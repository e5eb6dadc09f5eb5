"""`install`: make the daemon a service of this host, or of one user."""

import os
import shlex
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from rensei_daemon.cli.completion import script, script_places
from rensei_daemon.cli.install_paths import (
    SYSTEM,
    InstallPaths,
    SystemPaths,
    running,
    system_paths,
    user_paths,
)
from rensei_daemon.cli.install_steps import (
    KeepFile,
    LinkProgram,
    MakeDirectory,
    OptionalStep,
    RemoveFile,
    RunProgram,
    Step,
    WriteConfig,
    WriteFile,
)
from rensei_daemon.cli.key_source import read_key
from rensei_daemon.cli.own_program import (
    NAME,
    PACKAGED_PROGRAM,
    is_on_path,
    require_reach,
    this_program,
)
from rensei_daemon.cli.package_files import package_file
from rensei_daemon.cli.printing import json_option, print_json
from rensei_daemon.disk.api_key import ApiKey
from rensei_daemon.errors import NotPermittedError, RenseiError, UsageError
from rensei_daemon.locations import (
    absolute,
    user_config_home,
    user_data_home,
    user_state_home,
)

_NO_KEY_FILE = '# api_key_file = "/etc/rensei-daemon/api-key"'

_PUBLIC_UMASK = 0o022


class _Root(click.Path):
    """A directory, as an absolute path without symbolic links."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Path:
        if not str(value):
            self.fail("the path of a directory cannot be empty", param, ctx)
        return absolute(str(super().convert(value, param, ctx))).resolve()


_OPTIONS = (
    click.option("--user", is_flag=True, help="For this user's own service manager."),
    click.option(
        "--root",
        type=_Root(exists=True, file_okay=False),
        default=SYSTEM,
        help="The system in this directory instead, such as an image.",
    ),
    click.option("--dry-run", is_flag=True, help="Only say what would be done."),
    json_option,
)


def host_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of `install` to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command("install")
@host_options
@click.option(
    "--key-file",
    metavar="FILE",
    help="Put the API key in this file in its place; - reads standard input.",
)
def command(
    user: bool, root: Path, dry_run: bool, as_json: bool, key_file: str | None
) -> None:
    """Make this program a service: its unit, its user, its directories, a first config.

    The completions of bash, zsh and fish come along, and a link in /usr/local/bin where
    the program is elsewhere. A service that a package has installed is left to it.

    Running it again brings the unit up to date. A config that exists is never touched.

    \b
    Examples:
      rensei-daemon install --dry-run
      rensei-daemon install --key-file -
    """  # noqa: D301 - \b is click's mark for a paragraph to leave alone
    places = chosen_paths(user, root, dry_run)
    program = this_program()
    require_possible(places, program)
    key = None if key_file is None else read_key(key_file)
    steps = install_steps(places, program, key)
    with usual_umask(places):
        lines = perform(steps, dry_run=dry_run, quiet=as_json)
    following = list(next_commands(places, program))
    if as_json:
        print_json({"dry_run": dry_run, "steps": lines, "next": following})
    else:
        click.echo("\n  ".join(("\nnext:", *following)))


def chosen_paths(user: bool, root: Path, dry_run: bool) -> InstallPaths:
    """Return where the files go; raises `UsageError` and `NotPermittedError`."""
    if user:
        if root != SYSTEM:
            raise UsageError("--user and --root exclude each other")
        homes = (user_config_home, user_state_home, user_data_home)
        return user_paths(*(home(os.environ) for home in homes))
    if os.geteuid() != 0 and not dry_run:
        raise NotPermittedError(
            "only root can change the services of this host",
            hint="use sudo, or --user for a service of your own",
        )
    return system_paths(root)


@contextmanager
def usual_umask(places: InstallPaths) -> Iterator[None]:
    """Let all users of a system read the directories made here, whatever root's umask is.

    Another program's packages may use them too, such as /usr/share/fish, and keep their
    mode. What a user makes in their own home follows that user's umask.
    """
    if places.host is None:
        yield
        return
    before = os.umask(_PUBLIC_UMASK)
    try:
        yield
    finally:
        os.umask(before)


def perform(steps: Sequence[Step], *, dry_run: bool, quiet: bool) -> list[str]:
    """Return a line for each step, done or only planned; print it unless quiet."""
    lines = []
    for step in steps:
        lines.append(f"would {step.plan()}" if dry_run else step.carry_out())
        if not quiet:
            click.echo(lines[-1])
    return lines


def require_possible(places: InstallPaths, program: Path) -> None:
    """Raise `RenseiError` if the program cannot become this service."""
    if places.packaged_unit is not None and program != PACKAGED_PROGRAM:
        raise RenseiError(
            f"{places.packaged_unit} is a package's, and runs {PACKAGED_PROGRAM}",
            hint=f"use that, or remove the package first: apt-get remove {NAME}",
        )
    if places.host is not None and places.root == SYSTEM:  # an image has another layout
        require_reach(program)


def install_steps(
    places: InstallPaths, program: Path, key: ApiKey | None = None
) -> list[Step]:
    """Return the steps that make the program a service, in order."""
    example = package_file("config.example.toml")
    if places.host is None:
        unit = package_file("systemd/user/rensei-daemon.service")
        prelude: list[Step] = []
        # A user's manager has no credential store for the key.
        example = example.replace(_NO_KEY_FILE, f'api_key_file = "{places.key.name}"')
    else:
        unit = package_file("systemd/rensei-daemon.service")
        prelude = list(_host_steps(places, places.host))
    steps = [*prelude, WriteConfig(places.config, example)]
    if key is not None:
        steps.append(WriteFile(places.key, f"{key.secret}\n", mode=0o600))
    steps.append(_own_file(places, places.unit, running(program, unit)))
    steps += notify_manager(places)
    if places.packaged_unit is None:
        steps += _optional_steps(places, program)
    return steps


def _optional_steps(places: InstallPaths, program: Path) -> Iterator[Step]:
    """Yield the steps for completions and link, without which the service works too."""
    for shell, path in script_places(places.share).items():
        yield OptionalStep(WriteFile(path, script(shell)))
    if places.host is not None and not is_on_path(program):
        yield OptionalStep(LinkProgram(places.host.link, program))


def _own_file(places: InstallPaths, path: Path, text: str) -> Step:
    """Return the step that writes a file, unless it would hide one of a package."""
    return WriteFile(path, text) if places.packaged_unit is None else RemoveFile(path)


def notify_manager(places: InstallPaths) -> list[Step]:
    """Return the step that makes the service manager, if it runs, reload its units."""
    if not places.is_manager_there(os.environ):
        return []
    return [RunProgram((*places.systemctl, "daemon-reload"))]


def next_commands(places: InstallPaths, program: Path) -> Iterator[str]:
    """Yield the commands that the operator must run next to get a working daemon."""
    manager = shlex.join(places.systemctl)
    name = NAME if _is_found(program) else shlex.quote(str(program))
    path = shlex.quote(str(places.config))
    config = f" --config {path}" if places.host is None else ""
    if places.is_enabled() and places.root == SYSTEM:
        yield f"{manager} restart {NAME}"
        yield f"{name} status{config}"
        return
    if not places.has_key():
        root = shlex.quote(str(places.root))
        below = "" if places.root == SYSTEM else f" --root {root}"
        user_option = " --user" if places.host is None else below
        yield f"{name} install{user_option} --key-file -    # asks for the API key"
    yield f"${{EDITOR:-vi}} {path}"
    yield f"{name} config check {path}"
    if places.root != SYSTEM:
        if not places.is_enabled():
            yield f"{manager} enable {NAME}"
        return
    if places.host is None:
        yield "loginctl enable-linger    # so that it runs while you are not logged in"
    yield f"{manager} enable --now {NAME}"
    yield f"{name} status{config}"


def _is_found(program: Path) -> bool:
    found = shutil.which(NAME)
    return found is not None and Path(found).samefile(program)


def _host_steps(places: InstallPaths, host: SystemPaths) -> Iterator[Step]:
    """Yield the steps that create the user and the directories."""
    below = () if places.root == SYSTEM else (f"--root={places.root}",)
    if host.packaged_unit is not None:
        yield KeepFile(host.packaged_unit, "which is a package's")
    yield _own_file(places, host.sysusers, package_file("systemd/sysusers.conf"))
    yield RunProgram(("systemd-sysusers", *below, host.sysusers.name))
    yield _own_file(places, host.tmpfiles, package_file("systemd/tmpfiles.conf"))
    yield RunProgram(("systemd-tmpfiles", "--create", *below, host.tmpfiles.name))
    yield MakeDirectory(host.credstore, 0o700)
