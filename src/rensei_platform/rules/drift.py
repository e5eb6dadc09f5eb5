"""Drift: what a host was asked for, what it acked, and what it reports, compared."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from rensei_platform.rules.mutations import Mutation, Status

BEATS = 1.5
"""Intervals that a difference lasts at two beats: each is up to 10 % early or late."""

_STATE_AFTER = {
    "project.add": "enabled",
    "project.enable": "enabled",
    "project.disable": "disabled",
    "project.remove": "absent",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectState:
    """One project of a host: `enabled`, `disabled`, `absent`; None if nobody has said."""

    id: str
    asked: str | None
    """By the newest mutation that has not failed and was not cancelled."""
    acked: str | None
    """By the newest mutation that the host has applied."""
    reported: str | None
    """By the host's mirror."""
    is_drift: bool
    """Whether these differ, and have done so for two beats."""


def project_states(
    history: Iterable[Mutation],
    mirror: Mapping[str, Any],
    *,
    reported_at: datetime | None,
    seen_at: datetime | None,
    interval: timedelta,
) -> tuple[ProjectState, ...]:
    """Return every project that was asked for or is reported, by id.

    `history` is newest first. `seen_at` is the last beat, `reported_at` the last one that
    changed the mirror: what nothing has changed for two beats has lasted as long.
    """
    asked: dict[str, str] = {}
    acked: dict[str, str] = {}
    since: dict[str, datetime] = {}
    for mutation in history:
        state, id_ = _STATE_AFTER.get(mutation.op), mutation.params.get("id")
        is_off = mutation.status in (Status.FAILED, Status.CANCELLED)
        if state is None or not isinstance(id_, str) or is_off:
            continue
        since.setdefault(id_, mutation.decided_at or mutation.created_at)
        asked.setdefault(id_, state)
        if mutation.status == Status.APPLIED:
            acked.setdefault(id_, state)
    reported = _reported(mirror)
    found = []
    for id_ in sorted(asked.keys() | (reported or {}).keys()):
        is_at = None if reported is None else reported.get(id_, "absent")
        changed_at = max((at for at in (since.get(id_), reported_at) if at), default=None)
        lasts = (
            seen_at is not None
            and changed_at is not None
            and seen_at - changed_at >= BEATS * interval
        )
        differs = id_ in asked and not _agree(asked[id_], acked.get(id_), is_at)
        found.append(
            ProjectState(
                id=id_,
                asked=asked.get(id_),
                acked=acked.get(id_),
                reported=is_at,
                is_drift=differs and lasts,
            )
        )
    return tuple(found)


def _agree(asked: str, acked: str | None, reported: str | None) -> bool:
    """Whether all three say the same; disabling a project that is absent leaves it so."""
    if asked == acked == "disabled":
        return reported in ("disabled", "absent")
    return asked == acked == reported


def _reported(mirror: Mapping[str, Any]) -> dict[str, str] | None:
    """Return the state of each project in the mirror. None if the host never reported."""
    listed, enabled = mirror.get("allowlist"), mirror.get("enabled_project_ids")
    if listed is None and enabled is None:
        return None
    states = {
        entry["id"]: "disabled"
        for entry in listed or ()
        if isinstance(entry, dict) and isinstance(entry.get("id"), str)
    }
    return states | {id_: "enabled" for id_ in enabled or () if isinstance(id_, str)}
