"""Asking the daemon this command line is about."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from rensei_daemon.control_api.client import request
from rensei_daemon.control_api.schema import STATUS
from rensei_daemon.errors import (
    ControlError,
    DaemonNotRunningError,
    DaemonSilentError,
    RenseiError,
    SettingsError,
)
from rensei_daemon.locations import Locations, in_force, locate, may_exist

PULSE_SECONDS = 2.0
"""In which a daemon that is well has answered a question that costs it nothing."""

config_option: Callable[[Callable[..., Any]], Callable[..., Any]] = click.option(
    "--config",
    type=click.Path(path_type=Path, readable=False),  # whoever reads it says more
    metavar="PATH",
    help="The daemon's configuration file.",
)


def find_daemon(config: Path | None) -> Locations:
    """Find the files of the daemon meant by `--config`, or of this host's own.

    Raises SettingsError when `--config` names no file, and no daemon runs with it either.
    """
    found = locate(environ=os.environ, uid=os.geteuid(), config=config)
    running = in_force(found)
    if config is not None and running is found and not may_exist(found.config):
        hint = "name the daemon's own configuration file, or omit --config"
        raise SettingsError(f"--config: {found.config}: there is no such file", hint=hint)
    return running


def ask(
    locations: Locations,
    verb: tuple[str, str],
    body: Any = None,
    *,
    timeout_seconds: float = PULSE_SECONDS,
) -> Any:
    """Use one of the daemon's verbs and return its answer; `verb` is (method, path).

    Raises what `control_api.client.request` does, with the hint that starts this very
    daemon when it does not run.
    """
    method, path = verb
    try:
        return request(
            locations.control_socket,
            method,
            path,
            body,
            lock=locations.lock,
            timeout_seconds=timeout_seconds,
        )
    except DaemonNotRunningError as error:
        error.hint = f"start it: {locations.start_command}"
        raise


def send_command(
    locations: Locations,
    verb: tuple[str, str],
    body: Any = None,
    *,
    timeout_seconds: float,
) -> Any:
    """Use a verb as every command but `status` does: to them silence is a plain failure."""
    try:
        _check_alive(locations, min(timeout_seconds, PULSE_SECONDS))
        return ask(locations, verb, body, timeout_seconds=timeout_seconds)
    except DaemonSilentError as error:
        raise ControlError(str(error), hint=error.hint) from error


def _check_alive(locations: Locations, timeout_seconds: float) -> None:
    """Raise at once for a daemon that hangs, however long what follows may well take."""
    try:
        ask(locations, STATUS, timeout_seconds=timeout_seconds)
    except (DaemonNotRunningError, DaemonSilentError):
        raise
    except RenseiError:
        pass  # no is an answer
