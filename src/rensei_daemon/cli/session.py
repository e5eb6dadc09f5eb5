"""Which session a command is about."""

import time
from typing import Any

from rensei_daemon.cli.control import ask
from rensei_daemon.control_api.verbs import SESSIONS, SessionCredentials
from rensei_daemon.errors import (
    ControlError,
    DaemonNotRunningError,
    DaemonSilentError,
    NotPermittedError,
    UsageError,
)
from rensei_daemon.locations import Locations

RETRY_SECONDS = 0.1


def sessions_of(locations: Locations, *, wait_seconds: float) -> list[SessionCredentials]:
    """Return what every session has; a daemon that is not there yet is waited for.

    Raises `DaemonNotRunningError`, `ControlError` or `NotPermittedError`.
    """
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            answer: dict[str, Any] = ask(locations, SESSIONS)
        except (DaemonNotRunningError, DaemonSilentError) as error:
            if time.monotonic() + RETRY_SECONDS >= deadline:
                if isinstance(error, DaemonSilentError):
                    raise ControlError(str(error), hint=error.hint) from error
                raise
        else:
            sessions: list[SessionCredentials] = answer["sessions"]
            return sessions
        time.sleep(RETRY_SECONDS)


def only_session(locations: Locations, *, wait_seconds: float) -> str:
    """Return the id of the only session; raises `UsageError` when there is a choice."""
    try:
        sessions = sessions_of(locations, wait_seconds=wait_seconds)
    except NotPermittedError as error:
        raise UsageError(
            "name the session: who may not ask the daemon for it cannot leave it out",
            hint="--session ID, as in [[credentials.sessions]] id",
        ) from error
    ids = [session["id"] for session in sessions]
    if not ids:
        raise UsageError(
            "no session is configured on this host",
            hint="add one: [[credentials.sessions]] in the configuration",
        )
    if len(ids) > 1:
        raise UsageError(
            "there is more than one session on this host", hint=f"--session {'|'.join(ids)}"
        )
    return ids[0]
