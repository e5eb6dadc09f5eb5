"""What a host says of itself: at registration, and in every heartbeat."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rensei_platform.errors import InvalidRequestError
from rensei_platform.rules.fields import (
    Json,
    count,
    is_storable,
    optional_count,
    optional_mapping,
    optional_text,
    optional_texts,
    positive,
    storable,
    text,
)
from rensei_platform.rules.mutations import Outcomes

STATUSES = ("idle", "busy", "draining")
MOST_OUTCOMES = 5_000
"""Of each kind in one heartbeat; an answer brings 500 mutations at most."""
LONGEST_ERROR = 64 * 1024
"""Characters of a mutation's error that are kept."""

REPORTED = {
    "maxSessions": "max_sessions",
    "allowlist": "allowlist",
    "allowlistHash": "allowlist_hash",
    "enabledProjectIds": "enabled_project_ids",
    "projectAdmissionMode": "admission_mode",
}
"""Fields of a heartbeat that the mirror of a host is made of, and their columns."""

_TYPES: dict[str, type] = {
    "allowlist": list,
    "allowlistHash": str,
    "enabledProjectIds": list,
    "projectAdmissionMode": str,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """What a host says when it registers."""

    hostname: str
    capacity: int
    machine_id: str | None
    version: str | None
    region: str | None
    host_info: Json | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """What a heartbeat says."""

    active_count: int
    status: str | None
    mirror: Mapping[str, Any] = field(default_factory=dict)
    """Columns of the mirror and their values; what is absent keeps its old value."""
    outcomes: Outcomes = field(default_factory=Outcomes)
    uptake: object = None


def parse_registration(body: Json, capacity_name: str) -> Registration:
    """Return the registration. Raise InvalidRequestError if it is none."""
    return Registration(
        capacity=positive(body, capacity_name),
        hostname=text(body, "hostname"),
        machine_id=optional_text(body, "machineId"),
        version=optional_text(body, "version"),
        region=optional_text(body, "region"),
        host_info=optional_mapping(body, "hostInfo"),
    )


COUNT_NAMES = ("activeCount", "activeSessions")
"""Names of how many sessions are active: the public descriptions of either heartbeat do
not agree on which is whose."""


def parse_beat(body: Json, count_name: str) -> Beat:
    """Return the heartbeat. Raise InvalidRequestError if it is none.

    `count_name` is the one of COUNT_NAMES that is read first.
    """
    if count_name not in body:
        count_name = next((name for name in COUNT_NAMES if name in body), count_name)
    status = optional_text(body, "status")
    if status is not None and status not in STATUSES:
        raise InvalidRequestError(f"status must be one of: {', '.join(STATUSES)}")
    return Beat(
        active_count=count(body, count_name),
        status=status,
        mirror=_mirror(body),
        outcomes=_outcomes(body),
        uptake=body.get("uptake"),
    )


def _mirror(body: Json) -> dict[str, Any]:
    mirror: dict[str, Any] = {}
    if (ceiling := optional_count(body, "maxSessions")) is not None:
        mirror["max_sessions"] = ceiling
    for name, expected in _TYPES.items():
        value = body.get(name)
        if value is None:
            continue
        if not isinstance(value, expected):
            raise InvalidRequestError(f"{name} must be a {expected.__name__}")
        mirror[REPORTED[name]] = (
            storable(value, LONGEST_ERROR) if isinstance(value, str) else value
        )
    return mirror


def _outcomes(body: Json) -> Outcomes:
    applied = _outcome_list(body, "appliedMutations")
    failed = _outcome_list(body, "mutationFailures")
    if not all(isinstance(item, str) for item in applied):
        raise InvalidRequestError("appliedMutations must be a list of ids")
    if not all(_is_failure(item) for item in failed):
        raise InvalidRequestError("mutationFailures must be a list of {id, error}")
    return Outcomes(
        applied=tuple(filter(is_storable, applied)),
        failed=tuple(
            (item["id"], storable(item["error"], LONGEST_ERROR))
            for item in failed
            if is_storable(item["id"])
        ),
    )


def _outcome_list(body: Json, name: str) -> list[Any]:
    value = body.get(name)
    if not isinstance(value, list | None):
        raise InvalidRequestError(f"{name} must be a list")
    if value is not None and len(value) > MOST_OUTCOMES:
        raise InvalidRequestError(f"{name} must have at most {MOST_OUTCOMES} elements")
    return value or []


def _is_failure(item: object) -> bool:
    return isinstance(item, dict) and all(
        isinstance(item.get(name), str) for name in ("id", "error")
    )


def parse_host_status(body: Json) -> Json | None:
    """Return the `hostStatus` to send to a host; None for none.

    Raise InvalidRequestError for one that a daemon could not read.
    """
    asked = optional_mapping(body, "hostStatus")
    if asked is None:
        return None
    status: Json = {"status": text(asked, "status")}
    if (action := optional_text(asked, "recommendedAction")) is not None:
        status["recommendedAction"] = action
    if (pools := optional_texts(asked, "candidatePoolIds")) is not None:
        status["candidatePoolIds"] = list(pools)
    return status
