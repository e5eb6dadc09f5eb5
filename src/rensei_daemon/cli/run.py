"""`run`: be the daemon, until told to stop."""

import os
from pathlib import Path

import anyio
import click

from rensei_daemon.cli.control import config_option, find
from rensei_daemon.daemon import run
from rensei_daemon.errors import RenseiError
from rensei_daemon.process import harden


@click.command("run")
@config_option
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    help="Log from this level on, whatever the file says.",
)
def command(config: Path | None, log_level: str | None) -> None:
    """Run the daemon in the foreground, as its systemd unit does.

    Example: rensei-daemon run --config ./config.toml
    """
    harden()
    overrides = {"log": {"level": log_level}} if log_level else {}
    try:
        anyio.run(_run, find(config), overrides)
    except* RenseiError as group:
        raise _first(group) from None


async def _run(locations, overrides):
    await run(locations, environ=os.environ, overrides=overrides)
