"""Options that several commands take."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from rensei_daemon.cli.completion import session_ids

config_option: Callable[[Callable[..., Any]], Callable[..., Any]] = click.option(
    "--config",
    type=click.Path(path_type=Path, readable=False),  # its reader reports more
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
