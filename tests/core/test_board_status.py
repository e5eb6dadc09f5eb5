"""The two spellings of a status."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from rensei_daemon.core.conditions import Cause, Code, Condition, Severity
from rensei_daemon.core.health import (
    ConfigHealth,
    ConsumerHealth,
    HeartbeatHealth,
    LastMutation,
    LogHealth,
    MutationsHealth,
    PoolHealth,
    ProjectsHealth,
    SessionHealth,
    StreamState,
)
from rensei_daemon.core.status import (
    DaemonState,
    Status,
    summary,
    to_json,
)
from rensei_daemon.errors import Failure

NOON = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)

QUIET = Status(
    state=DaemonState.OK,
    reported_at=NOON,
    version="0.1.0",
    pid=812,
    uptime_seconds=7,
    config=ConfigHealth(path="/c.toml", digest="3fa9"),
    worker_id=None,
    worker_host_id=None,
    platform_url="https://app.rensei.ai",
    heartbeat=HeartbeatHealth(interval_seconds=30),
    mutations=MutationsHealth(),
    sessions=(),
    projects=ProjectsHealth(enabled=3),
    pool=None,
    log=LogHealth(),
    conditions=(),
)

FULL = replace(
    QUIET,
    state=DaemonState.DEGRADED,
    worker_id="wkr_1",
    heartbeat=HeartbeatHealth(
        interval_seconds=0.5,
        last_ok_at=NOON,
        consecutive_failures=2,
        last_error="refused",
        last_failure=Failure.REFUSED,
    ),
    mutations=MutationsHealth(
        applied=1,
        last=LastMutation(id="dmut_1", op="project.add", outcome="applied", at=NOON),
    ),
    sessions=(
        SessionHealth(
            id="build",
            stream=StreamState.LIVE,
            since=NOON,
            added_at=NOON,
            generation=2,
            refreshed_at=NOON,
            refresh_until=datetime(
                2026, 11, 24, 14, 15, tzinfo=timezone(timedelta(hours=2))
            ),
            names=("TOKEN",),
            dropped_names=("PATH",),
            consumers=(ConsumerHealth(kind="hook", name="/bin/reload", generation=2),),
            stream_ended_at=(NOON,),
            stream_lived_seconds=20.0,
        ),
    ),
    pool=PoolHealth(status="deleted", id="pool_a", candidates=("pool_b",), since=NOON),
    conditions=(
        Condition(
            code=Code.POOL_DELETED,
            severity=Severity.WARNING,
            message="the pool is\ndeleted",
            hint="bind it",
            since=NOON,
        ),
    ),
)

AT_NOON = "2026-11-24T12:00:00.000Z"


def test_a_quiet_status_has_every_key() -> None:
    """What has not happened is null, what there is none of is empty."""
    assert to_json(QUIET) == {
        "state": "ok",
        "reported_at": AT_NOON,
        "version": "0.1.0",
        "pid": 812,
        "uptime_seconds": 7,
        "config": {
            "path": "/c.toml",
            "digest": "3fa9",
            "valid": True,
            "error": None,
            "hint": "",
            "since": None,
        },
        "worker_id": None,
        "worker_host_id": None,
        "platform_url": "https://app.rensei.ai",
        "heartbeat": {
            "interval_seconds": 30,
            "last_ok_at": None,
            "consecutive_failures": 0,
            "last_error": None,
            "last_failure": None,
        },
        "mutations": {
            "applied": 0,
            "failed": 0,
            "unacknowledged": 0,
            "waiting": 0,
            "last": None,
        },
        "sessions": [],
        "projects": {"enabled": 3, "disabled": 0},
        "pool": None,
        "log": {
            "level": "info",
            "configured_level": "info",
            "since": None,
            "dropped": 0,
            "dropped_since": None,
        },
        "conditions": [],
    }


def test_a_full_status_is_spelt_in_plain_types() -> None:
    """Times are in UTC with Z whatever zone they came in; tuples are lists."""
    spelt = to_json(FULL)
    assert {key: spelt[key] for key in ("heartbeat", "sessions", "pool", "conditions")} == {
        "heartbeat": {
            "interval_seconds": 0.5,
            "last_ok_at": AT_NOON,
            "consecutive_failures": 2,
            "last_error": "refused",
            "last_failure": "refused",
        },
        "sessions": [
            {
                "id": "build",
                "stream": "live",
                "since": AT_NOON,
                "added_at": AT_NOON,
                "generation": 2,
                "version": None,
                "refreshed_at": AT_NOON,
                "refresh_until": "2026-11-24T12:15:00.000Z",
                "names": ["TOKEN"],
                "dropped_names": ["PATH"],
                "consumers": [
                    {
                        "kind": "hook",
                        "name": "/bin/reload",
                        "generation": 2,
                        "pid": None,
                        "started": None,
                        "proof": "unknown",
                        "has_unread": False,
                        "waits_until": None,
                    }
                ],
                "snapshot_failure": None,
                "stream_failure": None,
                "stream_ended_at": [AT_NOON],
                "stream_lived_seconds": 20.0,
                "wanted_for": None,
                "wanted_since": None,
                "lost_names": 0,
                "lost_names_at": None,
            }
        ],
        "pool": {
            "status": "deleted",
            "id": "pool_a",
            "reason": None,
            "candidates": ["pool_b"],
            "action": None,
            "since": AT_NOON,
        },
        "conditions": [
            {
                "code": "pool.deleted",
                "severity": "warning",
                "message": "the pool is\ndeleted",
                "hint": "bind it",
                "since": AT_NOON,
                "subject": "",
                "because_of": None,
            }
        ],
    }
    assert spelt["mutations"]["last"] == {
        "id": "dmut_1",
        "op": "project.add",
        "outcome": "applied",
        "message": "",
        "at": AT_NOON,
    }


NOTE = Condition(
    code=Code.SESSIONS_NONE, severity=Severity.INFO, message="none", hint="", since=NOON
)

LED = replace(
    NOTE, severity=Severity.ERROR, because_of=Cause(code=Code.POOL_DELETED, subject="")
)


@pytest.mark.parametrize(
    ("status", "line"),
    [
        (QUIET, "ok: no sessions, 3 projects enabled"),
        (replace(QUIET, conditions=(NOTE,)), "ok: no sessions, 3 projects enabled"),
        (
            replace(QUIET, sessions=FULL.sessions),
            "ok: 1 of 1 sessions live, 3 projects enabled",
        ),
        (FULL, "degraded: the pool is deleted"),
        (
            replace(FULL, conditions=(*FULL.conditions * 3, NOTE)),
            "degraded: the pool is deleted (and 2 more)",
        ),
        (
            replace(FULL, conditions=(*FULL.conditions, LED)),
            "degraded: the pool is deleted",
        ),
    ],
)
def test_a_status_is_said_in_one_line(status: Status, line: str) -> None:
    """The gravest trouble speaks first; without any, what is well does."""
    assert summary(status) == line
