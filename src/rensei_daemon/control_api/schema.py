"""The daemon's own verbs, by the names both ends use, and what each answers.

Importing this costs nothing: `status` does.
"""

from typing import TypedDict

STATUS = ("GET", "/v1/status")
"""Answers the JSON of a `Status`. Reads."""
RELOAD = ("POST", "/v1/reload")
"""Answers `Reloaded`, or refuses with the file's error. Writes."""
SYNC = ("POST", "/v1/sync")
"""Answers `Synced` once the beat and every snapshot have come or failed. Writes."""
HEALTHZ = ("GET", "/healthz")
"""Answers 200 while every loop turns, 503 with the late ones' names. Reads; also on TCP."""
READYZ = ("GET", "/readyz")
"""Answers 200 once file and sessions are as they should be, 503 with what is missing.
Reads; also on TCP."""
METRICS = ("GET", "/metrics")
"""Answers what Prometheus reads. Reads; also on TCP."""
METRICS_JSON = ("GET", "/v1/metrics")
"""Answers a list of `MetricRecord`. Reads."""
SESSIONS = ("GET", "/v1/sessions")
"""Answers `Sessions`. Reads."""
LOG_LEVEL = ("GET", "/v1/log-level")
"""Answers `LogLevelAnswer`. Reads."""
SET_LOG_LEVEL = ("POST", "/v1/log-level")
"""Takes `{"level": "debug"}`, or `"config"` for the file's; answers the same. Writes."""
CHANGES = ("GET", "/v1/changes")
"""Answers a list of `ChangeRecord`, newest first; `?limit=`. Reads."""
CHANGE = ("GET", "/v1/changes/{number}")
"""Answers a `ChangeDetail`; the number may be `latest`. Reads."""
BLAME = ("GET", "/v1/blame")
"""Answers a list of `BlameRecord`. Reads."""
MUTATIONS = ("GET", "/v1/mutations")
"""Answers a list of `MutationRecord`, newest first; `?limit=`. Reads."""
MUTATION = ("GET", "/v1/mutations/{id}")
"""Answers a `MutationDetail`. Reads."""
ROLLBACK = ("POST", "/v1/rollback")
"""Takes `{"change": number, "dry_run": bool}`, answers `RolledBack`. Writes."""


class RolledBack(TypedDict):
    """The file's text before and after a rollback."""

    before: str
    after: str


class SampleRecord(TypedDict):
    """One number of a metric."""

    value: float
    labels: dict[str, str]
    suffix: str
    """`_bucket`, `_sum` or `_count` of a histogram, else empty."""


class MetricRecord(TypedDict):
    """A metric."""

    name: str
    kind: str
    help: str
    samples: list[SampleRecord]


class LogLevelAnswer(TypedDict):
    """Which events are logged."""

    level: str
    """From this level on."""
    configured_level: str
    """What the configuration says, which comes back with a restart."""


class Reloaded(TypedDict):
    """What re-reading the configuration brought."""

    applied: list[str]
    """The keys that took effect; none when the file had not changed."""
    needs_restart: list[str]
    """The keys that changed but wait for a restart."""


class SyncedSession(TypedDict):
    """One session's snapshot."""

    id: str
    generation: int
    changed: list[str]
    """Names of variables whose value changed, or that came or went."""
    error: str | None


class Synced(TypedDict):
    """What a beat and new snapshots brought."""

    beat_error: str | None
    sessions: list[SyncedSession]


class SessionVariable(TypedDict):
    """A variable of a session, told by its fingerprint."""

    name: str
    fingerprint: str
    """Twelve hex digits; equal values have equal ones while this daemon runs."""
    changed_at: str
    """When the value last became another, as far as this daemon saw."""


class SessionConsumer(TypedDict):
    """Who is handed a session's values."""

    kind: str
    name: str
    generation: int | None
    lag: int | None
    """How many generations it is behind; None: it has had none."""


class SessionCredentials(TypedDict):
    """What one session has, and who has it."""

    id: str
    generation: int
    """0 before the first snapshot."""
    refreshed_at: str | None
    error: str | None
    """What the last snapshot failed with."""
    variables: list[SessionVariable]
    consumers: list[SessionConsumer]


class Sessions(TypedDict):
    """Every session of this host, by id."""

    sessions: list[SessionCredentials]
