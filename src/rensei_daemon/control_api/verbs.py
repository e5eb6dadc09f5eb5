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
