"""`rensei-daemon config`: where the file is, whether it is right, what is in force."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import click

from rensei_daemon.cli.config_history import COMMANDS
from rensei_daemon.errors import SettingsError
from rensei_daemon.locations import MAX_CONFIG_BYTES, Locations, locate


@click.group("config")
def command() -> None:
    """Find, check and show the configuration, and what became of it.

    Example: rensei-daemon config check
    """


for _command in COMMANDS:
    command.add_command(_command)


_config = click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="The config file, instead of the one found.",
)


def _located(config: Path | None) -> Locations:
    return locate(environ=os.environ, uid=os.getuid(), config=config)


@command.command("path")
@_config
def path_command(config: Path | None) -> None:
    """Print where the config file is, or would be.

    Example: $EDITOR "$(rensei-daemon config path)"
    """
    click.echo(_located(config).config)


@command.command("check")
@_config
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.pass_context
def check_command(context: click.Context, config: Path | None, file: Path | None) -> None:
    """Check the config file, FILE, or standard input (-); exit 78 on problems.

    Example: rensei-daemon config check new.toml
    """
    from rensei_daemon.settings.advice import advise
    from rensei_daemon.settings.loading import load, refuse_blank, refuse_groups

    path = Path("<stdin>") if file == Path("-") else _located(file or config).config
    text = _text(sys.stdin.buffer.read() if file == Path("-") else _read(path), path)
    try:
        refuse_blank(text, path=path)
        settings = load(text, path=path, environ=os.environ)
        if file is None:  # this host's own; another one's groups may be elsewhere
            refuse_groups(settings, text, path=path)
    except SettingsError as error:
        # Bare lines, so that an editor can jump to file:line:column.
        click.echo(str(error), err=True)
        context.exit(error.exit_code)
    for sentence in advise(settings):
        click.echo(f"{path}: note: {sentence}", err=True)
    click.echo(f"{path}: ok")


@command.command("show")
@_config
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show_command(config: Path | None, as_json: bool) -> None:
    """Print the settings in force: environment, file and defaults as one.

    Example: rensei-daemon config show --json
    """
    from rensei_daemon.settings.loading import load

    located = _located(config)
    path = located.config
    settings = load(_text(_read(path), path), path=path, environ=os.environ)
    tree: dict[str, Any] = settings.model_dump(mode="json", exclude_none=not as_json)
    tree["paths"] = {"state": str(located.state), "runtime": str(located.runtime)}
    if as_json:
        click.echo(json.dumps(tree, indent=2))
        return
    import tomlkit

    click.echo(f"# in force for {path}; keys without a value are left out")
    click.echo(tomlkit.dumps(tree), nl=False)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_CONFIG_BYTES + 1)
    except FileNotFoundError as error:
        raise SettingsError(
            f"{path}: there is no such file",
            hint="begin with the annotated example: config.example.toml",
        ) from error
    except OSError as error:
        raise SettingsError(
            f"{path}: it cannot be read: {error.strerror}",
            hint="run this as the daemon's user or as root",
        ) from error


def _text(raw: bytes, path: Path) -> str:
    if len(raw) > MAX_CONFIG_BYTES:
        raise SettingsError(f"{path}: it is longer than 16 MiB")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise SettingsError(f"{path}:{line}:1: this is not UTF-8 text") from error
