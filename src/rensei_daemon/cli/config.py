"""`rensei-daemon config`: where the file is, whether it is valid, what is in force."""

import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from rensei_daemon.cli.config_file import read_config
from rensei_daemon.cli.config_history import COMMANDS
from rensei_daemon.cli.options import config_option
from rensei_daemon.cli.printing import json_option, print_json
from rensei_daemon.cli.terminal import clean, clean_lines
from rensei_daemon.core.escaping import escape_toml
from rensei_daemon.disk.config_file import READ_BYTES, decode_config
from rensei_daemon.errors import Problem, SettingsError
from rensei_daemon.locations import Locations, locate

_STDIN = Path("<stdin>")


@click.group("config")
def command() -> None:
    """Find, check and show the configuration, and what became of it.

    Example: rensei-daemon config check
    """


for _command in COMMANDS:
    command.add_command(_command)


def _located(config: Path | None) -> Locations:
    return locate(environ=os.environ, uid=os.getuid(), config=config)


@command.command("path")
@config_option
@json_option
def path_command(config: Path | None, as_json: bool) -> None:
    """Print where the config file is, or would be; in JSON the directories as well.

    Example: $EDITOR "$(rensei-daemon config path)"
    """
    located = _located(config)
    if not as_json:
        click.echo(located.config)
        return
    places = {name: str(getattr(located, name)) for name in ("state", "runtime")}
    path = located.config
    print_json({"path": str(path), "exists": path.exists(), **places})


@command.command("check")
@config_option
@json_option
@click.argument("file", type=click.Path(path_type=Path, readable=False), required=False)
def check_command(config: Path | None, as_json: bool, file: Path | None) -> int:
    """Check the config file, FILE, or standard input (-); exit 78 on problems.

    Example: rensei-daemon config check new.toml
    """
    located = _located(config)
    # Not located as the default is: that would read the text from a pipe.
    path = located.config
    if file is not None:
        path = _STDIN if file == Path("-") else Path(os.path.abspath(file))  # noqa: PTH100 - a link is shown as given
    try:
        notes, refused = _check(path, located), None
    except SettingsError as error:
        notes, refused = [], error
    if as_json:
        print_json(_verdict(path, notes, refused))
    elif refused is None:
        for sentence in notes:
            click.echo(clean_lines(f"{path}: note: {sentence}"), err=True)
        click.echo(f"{clean(path)}: ok")
    elif refused.problems:
        # Plain lines, so that an editor can jump to file:line:column.
        click.echo(clean_lines(str(refused)), err=True)
    else:
        raise refused
    return refused.exit_code if refused else 0


def _check(path: Path, located: Locations) -> list[str]:
    """Return what deserves a second look; raise SettingsError for an unusable file."""
    from rensei_daemon.settings.advisories import advisories
    from rensei_daemon.settings.host_checks import host_problems
    from rensei_daemon.settings.loading import load, nothing_more, refuse_blank

    # Groups and environment may be those of another host.
    is_own = path == located.config
    if path == _STDIN:
        text = decode_config(sys.stdin.buffer.read(READ_BYTES), path)
    else:
        text = read_config(path, accepts_pipe=not is_own).text
    refuse_blank(text, path=path)
    settings = load(
        text,
        path=path,
        environ=os.environ,
        runtime=located.runtime,
        check=host_problems if is_own else nothing_more,
    )
    is_set = not settings.platform.is_placeholder
    return [*advisories(settings), *([] if is_set else ["platform.url is not set"])]


def _verdict(
    path: Path, notes: Sequence[str], refused: SettingsError | None
) -> dict[str, Any]:
    problems: Sequence[Problem] = refused.problems if refused else ()
    if refused and not problems:
        message = str(refused).removeprefix(f"{path}: ")
        problems = [Problem(message=message, hint=refused.hint, file=str(path))]
    items = [{**asdict(problem), "hint": problem.hint or None} for problem in problems]
    return {"path": str(path), "valid": not items, "problems": items, "notes": list(notes)}


@command.command("show")
@config_option
@json_option
def show_command(config: Path | None, as_json: bool) -> None:
    """Print the settings in force: environment, file and defaults as one.

    Example: rensei-daemon config show --json
    """
    from rensei_daemon.settings.loading import load

    located = _located(config)
    path = located.config
    settings = load(read_config(path).text, path=path, environ=os.environ)
    tree: dict[str, Any] = settings.model_dump(mode="json", exclude_none=not as_json)
    tree["paths"] = {"state": str(located.state), "runtime": str(located.runtime)}
    if as_json:
        print_json(tree)
        return
    import tomlkit

    click.echo(f"# in force for {clean(path)}; keys without a value are left out")
    click.echo(clean_lines(escape_toml(tomlkit.dumps(tree))), nl=False)
