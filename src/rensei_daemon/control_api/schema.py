"""The endpoints of the control API, and the type of each answer.

Both ends use them: the commands that send a request, and the handlers in `routes`. Imports
next to nothing, because `status` does not either.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypedDict, TypeVar

if TYPE_CHECKING:
    from rensei_daemon.core.history import (
        BlameRecord,
        ChangeDetail,
        ChangeRecord,
        MutationDetail,
        MutationRecord,
    )
    from rensei_daemon.core.session_report import SessionReport

_T = TypeVar("_T")


class Endpoint(NamedTuple, Generic[_T]):
    """A method and a path, which answer with a `_T`.

    Only root and the daemon's user may use a method other than GET.
    """

    method: str
    path: str
    """A segment of it may be a parameter: `/v1/mutations/{id}`."""

    def at(self, query: Mapping[str, Any] | None = None, **segments: Any) -> "Endpoint[_T]":
        """Return the endpoint with the parameters of its path, and a query."""
        from urllib.parse import quote, urlencode

        quoted = {name: quote(str(value), safe="") for name, value in segments.items()}
        path = self.path.format_map(quoted)
        return Endpoint(self.method, f"{path}?{urlencode(query)}" if query else path)


class Reloaded(TypedDict):
    """The result of reading the configuration again."""

    applied: list[str]
    """The keys that took effect; none if the file had not changed."""
    needs_restart: list[str]
    """The keys that changed, but take effect at a restart."""


class SyncedSession(TypedDict):
    """The result of one session's snapshot."""

    id: str
    generation: int
    changed: list[str]
    """Names of the variables that were changed, added or removed."""
    error: str | None
    failure: str | None
    """The kind of the error, as in the status: a `Failure`."""


class Synced(TypedDict):
    """The result of a heartbeat and a snapshot of every session."""

    beat_error: str | None
    beat_failure: str | None
    """The kind of the error, as in the status: a `Failure`."""
    sessions: list[SyncedSession]


class Sessions(TypedDict):
    """The sessions of this host, sorted by id."""

    sessions: "list[SessionReport]"


class LogLevelAnswer(TypedDict):
    """Which events are logged."""

    level: str
    """The lowest level that is logged."""
    configured_level: str
    """The level in the configuration, which applies again after a restart."""


class RolledBack(TypedDict):
    """The text of the file before and after a rollback."""

    before: str
    after: str


STATUS: Endpoint[dict[str, Any]] = Endpoint("GET", "/v1/status")
"""The JSON of `core.status.Status`."""
RELOAD: Endpoint[Reloaded] = Endpoint("POST", "/v1/reload")
SYNC: Endpoint[Synced] = Endpoint("POST", "/v1/sync")
"""Answers when the heartbeat and every snapshot have succeeded or failed."""
SESSIONS: Endpoint[Sessions] = Endpoint("GET", "/v1/sessions")
LOG_LEVEL: Endpoint[LogLevelAnswer] = Endpoint("GET", "/v1/log-level")
SET_LOG_LEVEL: Endpoint[LogLevelAnswer] = Endpoint("POST", "/v1/log-level")
"""Takes `{"level": "debug"}`, or `"config"` for the level in the file."""
CHANGES: "Endpoint[list[ChangeRecord]]" = Endpoint("GET", "/v1/changes")
"""Newest first; takes `limit`."""
CHANGE: "Endpoint[ChangeDetail]" = Endpoint("GET", "/v1/changes/{number}")
"""The number may be `latest`."""
BLAME: "Endpoint[list[BlameRecord]]" = Endpoint("GET", "/v1/blame")
MUTATIONS: "Endpoint[list[MutationRecord]]" = Endpoint("GET", "/v1/mutations")
"""Newest first; takes `limit`, and `before`, the id of a mutation."""
MUTATION: "Endpoint[MutationDetail]" = Endpoint("GET", "/v1/mutations/{id}")
ROLLBACK: Endpoint[RolledBack] = Endpoint("POST", "/v1/rollback")
"""Takes `{"change": number, "dry_run": bool}`."""
METRICS_JSON: Endpoint[list[dict[str, Any]]] = Endpoint("GET", "/v1/metrics")
"""The JSON of every `core.prometheus.Metric`."""

# These three are served over TCP too.
METRICS: Endpoint[str] = Endpoint("GET", "/metrics")
"""The text that Prometheus reads."""
HEALTHZ: Endpoint[dict[str, Any]] = Endpoint("GET", "/healthz")
"""200 while every loop runs; 503 with the names of the late ones."""
READYZ: Endpoint[dict[str, Any]] = Endpoint("GET", "/readyz")
"""200 once the configuration is valid and every session has data; 503 with what is not."""
