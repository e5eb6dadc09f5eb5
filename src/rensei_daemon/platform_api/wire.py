"""Converts between our values and the JSON of the platform's protocol.

Requests have exactly the keys of the protocol. Responses are read liberally: unknown keys
are ignored, an optional key of the wrong type counts as absent, and one bad item does not
affect the others. A missing worker id, token or set of credentials is a `TransientError`.
"""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from rensei_daemon.core.credential import MOST_BYTES, MOST_NAMES, size_of
from rensei_daemon.core.extensions import Extensions
from rensei_daemon.core.heartbeat import Beat, BeatAnswer
from rensei_daemon.core.host_status import HostStatus
from rensei_daemon.core.pending_mutation import PendingMutation, can_be_answered, delivered
from rensei_daemon.core.session import Session
from rensei_daemon.core.uptake import SessionUptake
from rensei_daemon.core.worker import HostInfo, Registration
from rensei_daemon.errors import Failure, TransientError
from rensei_daemon.fast_dataclass import dataclass, field, replace
from rensei_daemon.platform_api.json_fields import (
    JsonFields,
    fields,
    is_id,
    pruned,
    text,
    timestamp,
    unexpected_shape,
)

_VISIBLE = re.compile(r"[\x21-\x7e]+")

SNAPSHOT = "/api/daemon/credentials/snapshot"


def registration_body(registration: Registration) -> dict[str, Any]:
    """Return the body of `POST /api/workers/register`.

    Empty fields are omitted, except `projectIds`: an empty list means that this host
    serves no project, an omitted one leaves the platform's unchanged.
    """
    report = registration.report
    optional = {
        "machineId": registration.machine_id,
        "version": registration.version,
        "daemonProjects": [
            {"id": e.id, "repository": e.repository} for e in report.entries
        ],
        "capabilities": list(registration.capabilities),
        "region": registration.region,
        "hostInfo": _host_info(registration.host),
    }
    return {
        "hostname": registration.hostname,
        "capacity": max(1, registration.capacity),
        "projectAdmissionVersion": 2,
        "projectAdmissionMode": report.mode,
        "projectIds": list(report.enabled_ids),
        **{key: value for key, value in optional.items() if value},
    }


def _host_info(host: HostInfo) -> dict[str, Any]:
    started = host.started_at and host.started_at.astimezone(UTC).isoformat()
    found = {
        "ip": host.ip,
        "os": host.os,
        "osVersion": host.os_version,
        "arch": host.arch,
        "cpuCores": host.cpu_cores,
        "cpuModel": host.cpu_model,
        "memTotalMb": host.mem_total_mb,
        "daemonVersion": host.daemon_version,
        "startedAt": started and started.replace("+00:00", "Z"),
    }
    return {key: value for key, value in found.items() if value}


def old_registration_body(registration: Registration, key: str) -> dict[str, Any]:
    """Return the body of `POST /v1/daemon/register`, which includes the key."""
    optional = {
        "version": registration.version,
        "machineId": registration.machine_id,
        "region": registration.region,
        "capabilities": list(registration.capabilities),
    }
    return {
        "registrationToken": key,
        "hostname": registration.hostname,
        "maxAgents": max(1, registration.capacity),
        "activeAgentCount": 0,
        "status": "idle",
        **{key: value for key, value in optional.items() if value},
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """The answer to a registration or a token refresh."""

    worker_id: str
    """Empty in the answer to a refresh, which keeps the id."""
    token: str = field(repr=False)
    """Empty for old kinds of keys, which are themselves the bearer."""
    expires_at: datetime | None
    heartbeat_seconds: float | None
    host_id: str = ""
    """The platform's id of this host, from a `sessionShim` receipt; empty if absent."""


def grant(body: object) -> Grant:
    """Read the answer to a registration or a refresh, in either spelling."""
    found = fields(body, "an object")
    seconds = found.number("heartbeatIntervalSeconds")
    if (milliseconds := found.number("heartbeatInterval")) is not None:
        seconds = milliseconds / 1000
    worker_id = found.text("workerId")
    token = found.text("runtimeToken") or found.text("runtimeJwt")
    expires = timestamp(found.text("runtimeTokenExpiresAt"))
    receipt = found.fields("sessionShim")
    host_id = receipt.text("workerHostId") if receipt else ""
    return Grant(
        worker_id=worker_id if is_id(worker_id) else "",
        token=token if _VISIBLE.fullmatch(token) else "",
        expires_at=expires or timestamp(found.text("expiresAt")),
        heartbeat_seconds=seconds if seconds and seconds > 0 else None,
        host_id=host_id if is_id(host_id) else "",
    )


def beat_body(beat: Beat) -> dict[str, Any]:
    """Return the body of `POST /api/workers/{id}/heartbeat`.

    Counts, even 0, and the hash of the report are always sent. The report itself is sent
    when the platform has not seen it, with its ids and mode even if they are empty: an
    omitted key leaves the platform's unchanged. Other empty fields are omitted.
    """
    report = beat.report
    optional: dict[str, Any] = {
        "status": beat.status,
        "allowlistHash": report.hash,
        "appliedMutations": list(beat.acks.applied),
        "mutationFailures": [{"id": id_, "error": why} for id_, why in beat.acks.failures],
    }
    if beat.load and _are_finite(beat.load.cpu_percent, beat.load.memory_percent):
        optional["load"] = {
            "cpu": beat.load.cpu_percent,
            "memory": beat.load.memory_percent,
        }
    if beat.load_average and _are_finite(*beat.load_average):
        names = ("one", "five", "fifteen")
        optional["loadAverage"] = dict(zip(names, beat.load_average, strict=True))
    body: dict[str, Any] = {
        "activeCount": beat.active_count,
        "maxSessions": beat.max_sessions,
    }
    if beat.report_in_full:
        optional["allowlist"] = [
            {"id": e.id, "repository": e.repository} for e in report.entries
        ]
        body["enabledProjectIds"] = list(report.enabled_ids)
        body["projectAdmissionMode"] = report.mode
    if beat.uptake is not None:
        body["uptake"] = [_uptake(session) for session in beat.uptake]
    return body | {key: value for key, value in optional.items() if value}


def _uptake(session: SessionUptake) -> dict[str, Any]:
    return {
        "id": session.id,
        "version": session.version,
        "consumers": {
            "confirmed": session.confirmed,
            "received": session.received,
            "unknown": session.unknown,
        },
        "behind": list(session.behind),
    }


def old_beat_body(
    beat: Beat, registration: Registration, *, worker_id: str
) -> dict[str, Any]:
    """Return the body of `POST /v1/daemon/heartbeat`, which has no acks and no report."""
    optional = {
        "version": registration.version,
        "region": registration.region,
        "capabilities": list(registration.capabilities),
    }
    return {
        "workerId": worker_id,
        "hostname": registration.hostname,
        "status": beat.status,
        "activeSessions": beat.active_count,
        "maxSessions": beat.max_sessions,
        **{key: value for key, value in optional.items() if value},
    }


def _are_finite(*numbers: float) -> bool:
    return all(math.isfinite(number) for number in numbers)


def beat_answer(body: object, *, worker_id: str, url: str = "") -> BeatAnswer:
    """Read the answer to a heartbeat.

    Raises `TransientError` when it is not an object. An answer that does not acknowledge
    the heartbeat is read too: the platform may not send its mutations again.
    """
    found = fields(body, "an object")
    items = found.items("pendingMutations")
    pending = [_pending(item) for item in items]
    usable = [mutation for mutation in pending if mutation is not None]
    return BeatAnswer(
        is_acknowledged=found.raw.get("acknowledged") is not False,
        host_status=_host_status(found.fields("hostStatus")),
        pending=tuple(usable),
        skipped=len(items) - len(usable),
        extensions=Extensions.of_answer(url, found.items("extensions")),
        worker_id=worker_id,
    )


def _host_status(found: JsonFields | None) -> HostStatus | None:
    if found is None or not found.text("status").strip():
        return None
    pools = found.items("candidatePoolIds")
    return HostStatus(
        status=text(found.text("status")),
        recommended_action=text(found.text("recommendedAction")),
        candidate_pool_ids=tuple(pool for pool in pools if is_id(pool)),
    )


def _pending(item: object) -> PendingMutation | None:
    if not isinstance(item, dict):
        return None
    identifier = item.get("id")
    if not isinstance(identifier, str) or not can_be_answered(identifier):
        return None
    return delivered(
        id=identifier,
        op=text(item.get("op")),
        params=pruned(item.get("params")),
        requested_at=text(item.get("requestedAt")),
        requested_by=text(item.get("requestedBy")),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Every value of a session, and when to refresh them."""

    env: Mapping[str, str] = field(repr=False)
    refresh_in_seconds: float
    """When to take the next snapshot, counted from the response."""
    refresh_until: datetime | None
    """The platform's `refreshUntil`, by its own clock."""
    answered_at: datetime
    """The time of the response by the platform's clock."""
    dropped: tuple[str, ...] = ()
    """Names whose value was not text, sorted."""
    version: int | None = None
    """The platform's version of the values; None if it names none."""


def snapshot_body(session: Session, *, org_id: str) -> dict[str, Any]:
    """Return the body of a request for all values of a session."""
    return {
        "orgId": org_id,
        "projectId": session.project_id,
        "envName": session.env_name,
        "sessionId": session.id,
    }


def snapshot(body: object, *, answered_at: datetime) -> Snapshot:
    """Read a snapshot; `answered_at` is the `Date` of the response.

    The next one is due 30 s before `refreshUntil`, but in 30 s at the earliest and 24 h at
    the latest, or in 15 min without `refreshUntil`. Raises `TransientError` if it is
    malformed, or larger than a session may be: then no part of it is used.
    """
    what = "a set of credentials"
    found = fields(body, what)
    values = found.fields("env")
    if values is None:
        raise unexpected_shape(what)
    env = {name: value for name, value in values.raw.items() if isinstance(value, str)}
    size = replace(size_of(env), names=len(values.raw))
    if not size.is_allowed:
        raise TransientError(
            f"the platform's set of credentials is too large: {size.names} names, "
            f"{size.octets} bytes",
            hint=f"a session holds at most {MOST_NAMES} names and {MOST_BYTES >> 10} KiB; "
            "split it, or take credentials out of its project or environment",
            failure=Failure.TOO_LARGE,
        )
    until = timestamp(found.text("refreshUntil"))
    delay = timedelta(minutes=15)
    if until is not None:
        delay = until - answered_at - timedelta(seconds=30)
    return Snapshot(
        env=env,
        refresh_in_seconds=min(max(delay.total_seconds(), 30.0), 24 * 3600.0),
        refresh_until=until,
        answered_at=answered_at,
        dropped=tuple(sorted(text(name) for name in values.raw.keys() - env.keys())),
        version=found.version("version"),
    )
