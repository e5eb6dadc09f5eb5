"""Asking the daemon this command line is about."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from rensei_daemon.control_api.client import request
from rensei_daemon.locations import Locations, locate

config_option: Callable[[Callable[..., Any]], Callable[..., Any]] = click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="The daemon's configuration file.",
)


def find(config: Path | None) -> Locations:
    """Find the files of the daemon meant by `--config`, or of this host's own."""
    return locate(environ=os.environ, uid=os.geteuid(), config=config)


def ask(
    locations: Locations,
    verb: tuple[str, str],
    body: Any = None,
    *,
    timeout_seconds: float = 2.0,
) -> Any:
    """Use one of the daemon's verbs; every way it may not answer is its own error."""
    method, path = verb
    return request(
        locations.control_socket,
        method,
        path,
        body,
        lock=locations.lock,
        timeout_seconds=timeout_seconds,
    )
