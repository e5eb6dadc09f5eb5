"""`rensei-daemon config`: where the file is, whether it is valid, what is in force."""

import os
from pathlib import Path
from typing import Any

import click

from rensei_daemon.cli.config_file import read_config
from rensei_daemon.cli.config_history import COMMANDS
from rensei_daemon.cli.options import config_option
from rensei_daemon.cli.printing import json_option, print_json
from rensei_daemon.cli.terminal import clean, clean_lines
from rensei_daemon.core.escaping import escape_toml
from rensei_daemon.locations import Locations, locate


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
    from rensei_daemon.cli.check_config import check

    return check(config, file, as_json=as_json)


@command.command("show")
@config_option
@json_option
def show_command(config: Path | None, as_json: bool) -> None:
    """Print the settings in force: environment, file and defaults as one.

    Example: rensei-daemon config show --json
    """
    from rensei_daemon.settings.loading import load_model

    located = _located(config)
    path = located.config
    settings = load_model(read_config(path), path=path, environ=os.environ)
    tree: dict[str, Any] = settings.model_dump(mode="json", exclude_none=not as_json)
    tree["paths"] = {"state": str(located.state), "runtime": str(located.runtime)}
    if as_json:
        print_json(tree)
        return
    import tomlkit

    click.echo(f"# in force for {clean(path)}; keys without a value are left out")
    click.echo(clean_lines(escape_toml(tomlkit.dumps(tree))), nl=False)
