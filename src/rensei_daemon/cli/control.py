"""Sends requests of a command to the daemon that it is about."""

import os
from pathlib import Path
from typing import Any, TypeVar

from rensei_daemon.control_api.client import request
from rensei_daemon.control_api.schema import STATUS, Endpoint
from rensei_daemon.errors import (
    ControlError,
    DaemonNotRunningError,
    DaemonSilentError,
    NotPermittedError,
    RenseiError,
    SettingsError,
)
from rensei_daemon.locations import Locations, in_force, is_named_in, locate, may_exist

_T = TypeVar("_T")

PULSE_SECONDS = 2.0
"""The time in which a healthy daemon answers a cheap request."""


def find_daemon(config: Path | None) -> Locations:
    """Find the files of the daemon meant by `--config`, or of this host's own.

    Raises what `locate_daemon` raises, SettingsError for a directory, and
    NotPermittedError if only a file that the caller may not read says where they are.
    """
    found = locate_daemon(config)
    if may_exist(found.control_socket):
        return found
    if os.path.isdir(found.config):  # noqa: PTH112 - that of Path raises for 0700
        from shlex import quote  # most commands hint at nothing

        hint = f"name the file in it: {quote(str(found.config / 'config.toml'))}"
        raise SettingsError(f"{found.config} is a directory", hint=hint)
    # Without [paths] these are places of the caller, where no daemon of others runs. The
    # places of a unit are known without it.
    is_guess = found.unit_scope is None and not is_named_in(os.environ)
    may_read = os.access(found.config, os.R_OK, effective_ids=True)
    if is_guess and may_exist(found.config) and not may_read:
        raise NotPermittedError(
            f"{found.config} says where the daemon's files are, and you may not read it",
            hint="use sudo, or ask its owner to let you read it",
        )
    return found


def locate_daemon(config: Path | None) -> Locations:
    """Do what `find_daemon` does, also if the places can only be guessed.

    Raises SettingsError if `--config` names no file, and no running daemon has used it.
    """
    found = locate(environ=os.environ, uid=os.geteuid(), config=config)
    running = in_force(found)
    if config is not None and running is found and not may_exist(found.config):
        hint = "name the daemon's own configuration file, or omit --config"
        raise SettingsError(f"--config: {found.config}: there is no such file", hint=hint)
    return running


def ask(
    locations: Locations,
    endpoint: Endpoint[_T],
    body: Any = None,
    *,
    timeout_seconds: float = PULSE_SECONDS,
) -> _T:
    """Send a request to the daemon and return its answer.

    Raises what `control_api.client.request` raises, with a hint that starts this daemon if
    it does not run.
    """
    try:
        answer: _T = request(
            locations.control_socket,
            *endpoint,
            body,
            lock=locations.lock,
            timeout_seconds=timeout_seconds,
        )
    except DaemonNotRunningError as error:
        error.hint = f"start it: {locations.start_command}"
        raise
    return answer


def send_command(
    locations: Locations,
    endpoint: Endpoint[_T],
    body: Any = None,
    *,
    timeout_seconds: float,
) -> _T:
    """Do what `ask` does; raise `ControlError` if the daemon does not respond."""
    try:
        _check_alive(locations, min(timeout_seconds, PULSE_SECONDS))
        return ask(locations, endpoint, body, timeout_seconds=timeout_seconds)
    except DaemonSilentError as error:
        raise ControlError(str(error), hint=error.hint) from error


def _check_alive(locations: Locations, timeout_seconds: float) -> None:
    """Raise at once if the daemon hangs, however long the next request may take."""
    try:
        ask(locations, STATUS, timeout_seconds=timeout_seconds)
    except (DaemonNotRunningError, DaemonSilentError):
        raise
    except RenseiError:
        pass  # a refusal is an answer
