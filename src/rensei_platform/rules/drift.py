"""Drift: what a host was asked for, what it acked, and what it reports, compared."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from rensei_platform.rules.mutations import PROJECT_OPS, Mutation, Status

BEATS = 1.5
"""Intervals that a difference lasts at two beats: each is up to 10 % early or late."""

_STATE_AFTER = {
    "project.add": "enabled",
    "project.enable": "enabled",
    "project.disable": "disabled",
    "project.remove": "absent",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectRequest:
    """What a host was asked to do with a project, however often."""

    op: str
    params: Mapping[str, Any]
    seq: int
    """The place of the newest such mutation in the host's history."""
    applied_seq: int | None
    """The place of the newest one that the host has applied; None if there is none."""
    changed_at: datetime
    """When one was enqueued or decided last."""


def requests_of(history: Iterable[Mutation]) -> list[ProjectRequest]:
    """Return what mutations asked of projects; failed and cancelled ones count nowhere."""
    return [
        ProjectRequest(
            op=one.op,
            params=one.params,
            seq=one.seq,
            applied_seq=one.seq if one.status == Status.APPLIED else None,
            changed_at=one.decided_at or one.created_at,
        )
        for one in history
        if one.op in PROJECT_OPS and one.status not in (Status.FAILED, Status.CANCELLED)
    ]


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
    requests: Iterable[ProjectRequest],
    mirror: Mapping[str, Any],
    *,
    reported_at: datetime | None,
    seen_at: datetime | None,
    interval: timedelta,
) -> tuple[ProjectState, ...]:
    """Return every project that was asked for or is reported, by id.

    `seen_at` is the last beat, `reported_at` the last one that changed the mirror: what
    nothing has changed for two beats has lasted as long.
    """
    asked, acked, since = _newest(requests)
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


def _newest(
    requests: Iterable[ProjectRequest],
) -> tuple[dict[str, str], dict[str, str], dict[str, datetime]]:
    """Return the state asked for, the state acked and the last change of each project."""
    asked: dict[str, tuple[int, str]] = {}
    acked: dict[str, tuple[int, str]] = {}
    since: dict[str, datetime] = {}
    for one in requests:
        state, id_ = _STATE_AFTER.get(one.op), one.params.get("id")
        if state is None or not isinstance(id_, str):
            continue
        asked[id_] = max(asked.get(id_, (0, "")), (one.seq, state))
        if one.applied_seq is not None:
            acked[id_] = max(acked.get(id_, (0, "")), (one.applied_seq, state))
        since[id_] = max(since.get(id_, one.changed_at), one.changed_at)
    return (
        {id_: state for id_, (_, state) in asked.items()},
        {id_: state for id_, (_, state) in acked.items()},
        since,
    )


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
