"""Build the environment of a worker process."""

from collections.abc import Mapping

from rensei_daemon.core.credential import BLOCKED_NAMES

OWN_SECRETS = frozenset(
    {
        "RENSEI_API_KEY",
        *("RENSEI_RSK_TOKEN", "RENSEI_API_TOKEN"),
        *("DONMAI_RSK_TOKEN", "DONMAI_API_TOKEN"),
    }
)
OWN_PREFIXES = ("RENSEI_DAEMON_", "RENSEI_CREDENTIAL_", "DONMAI_CREDENTIAL_")
"""Set by the daemon or kept from workers, whatever the caller has."""

BRANDS = ("RENSEI", "DONMAI")
"""Both prefixes are in use; the public client reads the second."""


def inherited(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what a worker inherits of its caller's environment."""
    return {
        name: value
        for name, value in environ.items()
        if name not in BLOCKED_NAMES
        and name not in OWN_SECRETS
        and not name.startswith(OWN_PREFIXES)
    }


def child_environment(
    environ: Mapping[str, str],
    values: Mapping[str, str] | None,
    *,
    socket: str,
    session_id: str | None,
    is_whole: bool = True,
) -> dict[str, str]:
    """Return a worker's environment; `values` is None if there are none.

    `is_whole`: they are the values of all its sessions.
    """
    env = {**inherited(environ), **(values or {})}
    for brand in BRANDS:
        env[f"{brand}_CREDENTIAL_SOCKET"] = socket
        if session_id is not None:
            env[f"{brand}_CREDENTIAL_SESSION_ID"] = session_id
        if values is None or not is_whole:
            env[f"{brand}_CREDENTIAL_SNAPSHOT_FAILED"] = "1"
    return env
