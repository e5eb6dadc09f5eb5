"""Requests for the sessions of this host."""

from typing import TYPE_CHECKING

from rensei_daemon.cli.control import ask
from rensei_daemon.control_api.schema import SESSIONS
from rensei_daemon.core.credential_frames import SessionState
from rensei_daemon.delivery.session_query import choose_session, query_sessions
from rensei_daemon.errors import ControlError, DaemonNotRunningError, DaemonSilentError
from rensei_daemon.locations import Locations

if TYPE_CHECKING:
    from rensei_daemon.core.session_report import SessionReport


def sessions_of(locations: Locations) -> "list[SessionReport]":
    """Return what every session has, for an operator.

    Raises `DaemonNotRunningError`, `ControlError` or `NotPermittedError`.
    """
    try:
        return ask(locations, SESSIONS)["sessions"]
    except DaemonSilentError as error:
        raise ControlError(str(error), hint=error.hint) from error


def session_state(
    locations: Locations, session_id: str | None, *, wait_seconds: float
) -> SessionState:
    """Return the session of a worker's command; without a name, the only one it may use.

    The request uses the credential socket, and waits up to `wait_seconds` for the daemon.
    Raises what `query_sessions` and `choose_session` raise.
    """
    path = locations.credential_socket
    try:
        found = query_sessions(path, session_id, wait_seconds=wait_seconds)
    except DaemonNotRunningError as error:
        error.hint = f"start it: {locations.start_command}"
        raise
    return choose_session(found, session_id)
