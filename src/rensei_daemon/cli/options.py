"""Options that several commands take, and the types of options."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from rensei_daemon.cli.completion import session_ids


class Seconds(click.FloatRange):
    """A time in seconds: no NaN, which no clock ever reaches; infinite is allowed."""

    name = "number of seconds"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return it as a number."""
        seconds: float = super().convert(value, param, ctx)
        if math.isnan(seconds):
            self.fail(f"{value!r} is not a valid {self.name}.", param, ctx)
        return seconds


class WholeNumber(click.IntRange):
    """A whole number within limits; a refusal calls it so."""

    name = "whole number"


class _ConfigPath(click.Path):
    """A path; an empty one is as good as none, as of an empty variable."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Any:
        """Return it, or None."""
        return super().convert(value, param, ctx) if value != "" else None


config_option: Callable[[Callable[..., Any]], Callable[..., Any]] = click.option(
    "--config",
    type=_ConfigPath(path_type=Path, readable=False),  # its reader reports more
    metavar="PATH",
    help="The daemon's configuration file.",
)

session_option = click.option(
    "--session",
    "session_id",
    metavar="ID",
    shell_complete=session_ids,
    help="Default: the only one that you may use.",
)

sessions_option = click.option(
    "--session",
    "session_ids",
    multiple=True,
    metavar="ID",
    shell_complete=session_ids,
    help="Default: the only one that you may use; may be repeated.",
)
