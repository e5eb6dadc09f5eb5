"""`run`: be the daemon, until told to stop."""

import os
from collections.abc import Mapping
from pathlib import Path

import anyio
import click

from rensei_daemon.cli.control import config_option, find
from rensei_daemon.daemon import run
from rensei_daemon.errors import RenseiError
from rensei_daemon.locations import Locations
from rensei_daemon.process import harden, make_room


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
    make_room()
    overrides = {"log": {"level": log_level}} if log_level else {}
    try:
        anyio.run(_run, find(config), overrides)
    except* RenseiError as errors:
        raise _first(errors) from None


async def _run(locations: Locations, overrides: Mapping[str, object]) -> None:
    await run(locations, environ=os.environ, overrides=overrides)


def _first(errors: BaseExceptionGroup[RenseiError]) -> RenseiError:
    """Return one of the errors that ended the daemon; a shell wants one exit code."""
    first: BaseException = errors
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    assert isinstance(first, RenseiError)  # noqa: S101 - the group holds nothing else
    return first
