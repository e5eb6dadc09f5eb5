"""The messages of the protocol, and answers with wrong types."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from rensei_daemon.core.admission import report_from
from rensei_daemon.core.extensions import Extensions
from rensei_daemon.core.heartbeat import Acks, Beat, BeatAnswer, Load
from rensei_daemon.core.host_status import HostStatus
from rensei_daemon.core.pending_mutation import PendingMutation
from rensei_daemon.core.session_values import StreamUpdate
from rensei_daemon.core.sse import ServerEvent
from rensei_daemon.core.uptake import SessionUptake
from rensei_daemon.core.worker import HostInfo, Registration
from rensei_daemon.errors import TransientError
from rensei_daemon.platform_api import wire
from rensei_daemon.platform_api.json_fields import is_id
from rensei_daemon.platform_api.stream import parse_event
from rensei_daemon.platform_api.wire import Grant

NOW = datetime(2026, 6, 2, 12, 0, tzinfo=UTC)
REPORT = report_from(
    mode="enumerated",
    enabled_ids=["proj_a"],
    entries=[("proj_a", "https://github.com/o/a"), ("proj_b", "https://github.com/o/b")],
)
HASH = REPORT.hash
NOTHING = report_from(mode="enumerated", enabled_ids=[], entries=[])
QUIET = Beat(
    status="idle",
    active_count=0,
    max_sessions=4,
    load=None,
    load_average=None,
    report=REPORT,
    report_in_full=False,
    acks=Acks(),
)
FULL = replace(
    QUIET,
    load=Load(cpu_percent=3.5, memory_percent=41.0),
    load_average=(0.1, 0.2, 0.3),
    report_in_full=True,
    acks=Acks(applied=("dmut_1",), failures=(("dmut_2", "project.add requires id"),)),
)


@pytest.mark.parametrize(
    ("beat", "body"),
    [
        (
            QUIET,
            {"status": "idle", "activeCount": 0, "maxSessions": 4, "allowlistHash": HASH},
        ),
        (
            FULL,
            {
                "status": "idle",
                "activeCount": 0,
                "maxSessions": 4,
                "load": {"cpu": 3.5, "memory": 41.0},
                "loadAverage": {"one": 0.1, "five": 0.2, "fifteen": 0.3},
                "allowlistHash": HASH,
                "allowlist": [
                    {"id": "proj_a", "repository": "https://github.com/o/a"},
                    {"id": "proj_b", "repository": "https://github.com/o/b"},
                ],
                "enabledProjectIds": ["proj_a"],
                "projectAdmissionMode": "enumerated",
                "appliedMutations": ["dmut_1"],
                "mutationFailures": [{"id": "dmut_2", "error": "project.add requires id"}],
            },
        ),
        (
            replace(QUIET, report=NOTHING, max_sessions=0, status=""),
            {"activeCount": 0, "maxSessions": 0},
        ),
        (
            replace(QUIET, report=NOTHING, report_in_full=True),
            {
                "status": "idle",
                "activeCount": 0,
                "maxSessions": 4,
                "enabledProjectIds": [],
                "projectAdmissionMode": "enumerated",
            },
        ),
        (
            replace(QUIET, load=Load(cpu_percent=float("nan"), memory_percent=1.0)),
            {"status": "idle", "activeCount": 0, "maxSessions": 4, "allowlistHash": HASH},
        ),
    ],
    ids=["quiet", "full", "nothing", "nothing-in-full", "no-number"],
)
def test_a_beat_says_what_there_is_to_say(beat: Beat, body: dict[str, Any]) -> None:
    """Counts are always sent, even 0; empty, unknown or unchanged fields are omitted."""
    assert wire.beat_body(beat) == body


def test_a_registration_is_spelled_whole() -> None:
    """Every field has its name of the protocol, and times are in UTC."""
    registration = Registration(
        machine_id="mid_1",
        hostname="build-01",
        capacity=4,
        version="0.1.0",
        region="eu",
        capabilities=("local",),
        report=REPORT,
        host=HostInfo(
            ip="10.0.0.1",
            os="linux",
            os_version="12",
            arch="amd64",
            cpu_cores=16,
            cpu_model="Fast",
            mem_total_mb=2048,
            daemon_version="0.1.0",
            started_at=datetime(2026, 9, 1, 2, tzinfo=timezone(timedelta(hours=2))),
        ),
    )
    assert wire.registration_body(registration) == {
        "machineId": "mid_1",
        "hostname": "build-01",
        "capacity": 4,
        "version": "0.1.0",
        "capabilities": ["local"],
        "daemonProjects": [
            {"id": "proj_a", "repository": "https://github.com/o/a"},
            {"id": "proj_b", "repository": "https://github.com/o/b"},
        ],
        "projectIds": ["proj_a"],
        "projectAdmissionVersion": 2,
        "projectAdmissionMode": "enumerated",
        "region": "eu",
        "hostInfo": {
            "ip": "10.0.0.1",
            "os": "linux",
            "osVersion": "12",
            "arch": "amd64",
            "cpuCores": 16,
            "cpuModel": "Fast",
            "memTotalMb": 2048,
            "daemonVersion": "0.1.0",
            "startedAt": "2026-09-01T00:00:00Z",
        },
    }


def test_a_bare_registration_leaves_the_rest_out() -> None:
    """Unknown fields are omitted; the capacity is at least one."""
    bare = Registration(machine_id="", hostname="h", capacity=0, version="", report=NOTHING)
    assert wire.registration_body(bare) == {
        "hostname": "h",
        "capacity": 1,
        "projectAdmissionVersion": 2,
        "projectAdmissionMode": "enumerated",
        "projectIds": [],
    }
    assert wire.old_registration_body(bare, "rsk_live_1") == {
        "registrationToken": "rsk_live_1",
        "hostname": "h",
        "maxAgents": 1,
        "activeAgentCount": 0,
        "status": "idle",
    }


HOUR = datetime(2026, 9, 1, 1, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("body", "grant"),
    [
        (
            {
                "workerId": "wkr_1",
                "heartbeatInterval": 30500,
                "pollInterval": 5000,
                "runtimeToken": "a.b.c",
                "runtimeTokenExpiresAt": "2026-09-01T01:00:00Z",
            },
            ("wkr_1", "a.b.c", HOUR, 30.5),
        ),
        (
            {
                "workerId": "wkr_1",
                "runtimeJwt": "a.b.c",
                "heartbeatIntervalSeconds": 30,
                "expiresAt": "2026-09-01T03:00:00+02:00",
            },
            ("wkr_1", "a.b.c", HOUR, 30.0),
        ),
        (
            {"runtimeToken": None, "runtimeTokenExpiresAt": None, "workerId": "w"},
            ("w", "", None, None),
        ),
        (
            {
                "workerId": 7,
                "runtimeToken": "a b",
                "runtimeTokenExpiresAt": 1788224400,
                "heartbeatInterval": "30000",
            },
            ("", "", None, None),
        ),
        ({"workerId": "a\nb", "heartbeatInterval": -1}, ("", "", None, None)),
        ({"heartbeatInterval": float("inf"), "expiresAt": "soon"}, ("", "", None, None)),
        ({"heartbeatInterval": 10**350}, ("", "", None, None)),
        ({"heartbeatIntervalSeconds": 10**350}, ("", "", None, None)),
        (
            {"heartbeatInterval": True, "expiresAt": "2026-09-01T01:00:00"},
            ("", "", HOUR, None),
        ),
        ({}, ("", "", None, None)),
    ],
)
def test_a_grant_is_read_in_either_spelling(
    body: object, grant: tuple[str, str, datetime | None, float | None]
) -> None:
    """Milliseconds or seconds, token or JWT; a wrong type counts as absent."""
    worker_id, token, expires_at, heartbeat_seconds = grant
    assert wire.grant(body) == Grant(
        worker_id=worker_id,
        token=token,
        expires_at=expires_at,
        heartbeat_seconds=heartbeat_seconds,
    )


def beat_answer(**body: Any) -> BeatAnswer:
    """Read a heartbeat's answer with these keys."""
    return wire.beat_answer(body, worker_id="wkr_1")


def test_mutations_come_in_order_and_whole() -> None:
    """Host status and mutations are read with all fields."""
    found = beat_answer(
        acknowledged=True,
        serverTime="2026-09-01T00:00:30Z",
        hostStatus={"status": "pool_deleted", "candidatePoolIds": ["pool_b", 7, ""]},
        pendingMutations=[
            {
                "id": "dmut_3",
                "op": "project.add",
                "params": {"id": "proj_a"},
                "requestedAt": "2026-09-01T00:00:00Z",
                "requestedBy": "ann",
                "novel": 1,
            },
            {"id": "dmut_1", "op": "session.kill"},
        ],
    )
    assert found == BeatAnswer(
        host_status=HostStatus(status="pool_deleted", candidate_pool_ids=("pool_b",)),
        pending=(
            PendingMutation(
                id="dmut_3",
                op="project.add",
                params={"id": "proj_a"},
                requested_at="2026-09-01T00:00:00Z",
                requested_by="ann",
                size=len('{"id":"proj_a"}'),
            ),
            PendingMutation(id="dmut_1", op="session.kill", params=None, size=len("null")),
        ),
        worker_id="wkr_1",
    )


def test_one_bad_item_costs_no_other() -> None:
    """Items without a usable id are skipped and counted; others are read."""
    useless: list[Any] = [
        None, 7, "x", [], {}, {"id": 7}, {"id": ""}, {"id": "\ud800"},
        {"id": "x" * (64 * 1024 + 1)}, {"id": ["dmut"]},
    ]  # fmt: skip
    found = beat_answer(pendingMutations=[*useless, {"id": "dmut_1", "op": "x"}])
    assert [mutation.id for mutation in found.pending] == ["dmut_1"]
    assert found.skipped == len(useless)


@pytest.mark.parametrize(
    ("id_", "code"),
    [
        ("  ", "0020"),
        ("a b", "0020"),
        ("a\nb", "000A"),
        ("dmut\u00a01", "00A0"),
        ("dmut\u200b", "200B"),
        ("\u202edmut", "202E"),
        ("\x00", "0000"),
    ],
)
def test_an_id_nobody_can_read_is_answered_as_failed(id_: str, code: str) -> None:
    """It is not skipped: its outcome has the exact id."""
    [found] = beat_answer(pendingMutations=[{"id": id_, "op": "project.enable"}]).pending
    assert found.id == id_
    assert found.refusal == f"the mutation's id holds U+{code}, which cannot be shown"


@pytest.mark.parametrize("id_", ["dmut_1", "dmut-é", "x" * 256, "/a/../b", "<b>"])
def test_an_id_that_can_be_read_is_taken(id_: str) -> None:
    """An id of visible characters is accepted."""
    [found] = beat_answer(pendingMutations=[{"id": id_, "op": "project.enable"}]).pending
    assert (found.id, found.refusal) == (id_, "")


@pytest.mark.parametrize(
    ("item", "refusal"),
    [
        ({"id": "x" * 257}, "id of 257 characters: this daemon takes at most 256"),
        ({"op": "x" * 129}, "op of 129 characters: this daemon takes at most 128"),
        (
            {"requestedBy": "x" * 513},
            "requestedBy of 513 characters: this daemon takes at most 512",
        ),
        (
            {"requestedAt": "x" * 65_537},
            "requestedAt of 65537 characters: this daemon takes at most 65536",
        ),
        (
            {"params": {"id": "x" * 262_144}},
            "params of 262153 characters: this daemon takes at most 262144",
        ),
    ],
)
def test_what_is_too_long_is_answered_as_failed(item: Any, refusal: str) -> None:
    """Its length is checked first, and only its digest is kept."""
    whole = {"id": "dmut_1", "op": "x", "params": {"id": "p"}, **item}
    [found] = beat_answer(pendingMutations=[whole]).pending
    assert found.refusal == refusal
    assert found.id == whole["id"]
    assert found.params is None
    assert max(len(found.op), len(found.requested_by), len(found.requested_at)) <= 41
    assert found.digest == PendingMutation(**_content(whole)).digest


def _content(item: dict[str, Any]) -> dict[str, Any]:
    return {key: item[key] for key in ("id", "op", "params")}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (7, "7"),
        (1.5, "1.5"),
        (True, "true"),
        (["a"], '["a"]'),
        ({"a": None}, '{"a": null}'),
        ("\ud800x", "?x"),
        ("é", "é"),
    ],
)
def test_texts_of_any_type_are_text(value: object, text: str) -> None:
    """Op, time and requester may have any type: the mutation fails later."""
    item = {"id": "dmut_1", "op": value, "requestedAt": value, "requestedBy": value}
    [found] = beat_answer(pendingMutations=[item]).pending
    assert (found.op, found.requested_at, found.requested_by) == (text, text, text)


@pytest.mark.parametrize("params", [None, 7, "x", [], [1], {"a": {"b": [None]}}, True])
def test_params_of_any_type_are_kept(params: object) -> None:
    """Params are passed on unchanged, of any type."""
    [found] = beat_answer(
        pendingMutations=[{"id": "d", "op": "x", "params": params}]
    ).pending
    assert found.params == params


def test_bottomless_params_are_cut_where_nothing_understands_them() -> None:
    """Params that are nested too deeply have a digest, and fail as too deep."""
    deep: Any = "bottom"
    for _ in range(500):
        deep = {"a": deep}
    [found] = beat_answer(pendingMutations=[{"id": "d", "op": "x", "params": deep}]).pending
    assert json.dumps(found.params).count("{") == 32
    assert len(found.digest) == 64


def test_an_answer_is_taken_whole() -> None:
    """All mutations are read: a platform may deliver each only once."""
    items = [{"id": f"dmut_{n}", "op": "x"} for n in range(5001)]
    found = beat_answer(pendingMutations=items)
    assert (len(found.pending), found.pending[-1].id) == (5001, "dmut_5000")
    assert found.skipped == 0


@pytest.mark.parametrize(
    "wrong", [None, 7, "x", [], {}, True, [[]], {"status": 7}, {"status": " "}]
)
def test_a_wrong_type_counts_as_not_said(wrong: object) -> None:
    """An optional key of the wrong type is ignored."""
    assert beat_answer(hostStatus=wrong).host_status is None
    assert beat_answer(acknowledged=wrong if wrong != [] else 1).pending == ()
    assert beat_answer(pendingMutations=wrong if wrong != [[]] else 1).pending == ()


def test_a_host_status_survives_wrong_neighbours() -> None:
    """A status is read even if its action or pools have the wrong type."""
    found = beat_answer(
        hostStatus={"status": "ok", "recommendedAction": 7, "candidatePoolIds": "pool_b"}
    )
    assert found.host_status == HostStatus(status="ok")


@pytest.mark.parametrize("body", [None, [], "ok", 7, True])
def test_an_answer_that_is_no_object_is_no_answer(body: object) -> None:
    """It is an error, so that no ack is lost."""
    with pytest.raises(TransientError):
        wire.beat_answer(body, worker_id="wkr_1")


@pytest.mark.parametrize(
    ("until", "seconds"),
    [
        ("2026-06-02T13:00:00Z", 3570),
        ("2026-06-02T15:00:00+02:00", 3570),
        ("2026-06-02T13:00:00", 3570),
        ("2026-06-02T13:00:00.123Z", 3570.123),
        ("2026-06-02T12:00:31Z", 30),
        ("2020-01-01T00:00:00Z", 30),
        ("9999-12-31T23:59:59Z", 86400),
        ("0001-01-01T00:00:00+14:00", 30),
        ("tomorrow", 900),
        ("", 900),
        (None, 900),
        (1780405200, 900),
        ({"at": 1}, 900),
    ],
)
def test_the_next_snapshot_is_due_before_the_values_expire(
    until: object, seconds: float
) -> None:
    """30 s before `refreshUntil` by the response's clock, in 30 s to 24 h."""
    found = wire.snapshot({"env": {}, "refreshUntil": until}, answered_at=NOW)
    assert found.refresh_in_seconds == seconds


def test_values_that_are_no_text_are_dropped_by_name() -> None:
    """A value of the wrong type is dropped, and values stay hidden."""
    found = wire.snapshot(
        {"env": {"A": "s3cr3t", "Z": None, "B": 7, "C": ["s3cr3t"]}}, answered_at=NOW
    )
    assert (dict(found.env), found.dropped) == ({"A": "s3cr3t"}, ("B", "C", "Z"))
    assert "s3cr3t" not in repr(found)


@pytest.mark.parametrize(
    "body", [None, [], {}, {"env": None}, {"env": []}, {"env": "s3cr3t"}, {"ENV": {}}]
)
def test_no_set_of_values_is_not_an_empty_one(body: object) -> None:
    """An answer without credentials removes none, and is retried."""
    with pytest.raises(
        TransientError, match=r"^the platform's answer is not a set"
    ) as caught:
        wire.snapshot(body, answered_at=NOW)
    assert "s3cr3t" not in str(caught.value)


def test_an_id_of_ours_can_be_seen() -> None:
    """A text with an invisible character is no id."""
    assert is_id("wkr_1")
    assert not is_id("wkr\u3164")
    assert not is_id("wkr\u202e")


# ---- the extension `uptake` --------------------------------------------------------------


def test_uptake_has_exactly_these_keys() -> None:
    """Zero counts and empty lists are sent, and an absent report is no key at all."""
    said = SessionUptake(id="build", version=42, confirmed=1, behind=("hook /bin/x",))
    body = wire.beat_body(replace(QUIET, uptake=(said, SessionUptake(id="q", version=0))))
    nothing = {"confirmed": 0, "received": 0, "unknown": 0}
    assert body["uptake"] == [
        {
            "id": "build",
            "version": 42,
            "consumers": nothing | {"confirmed": 1},
            "behind": ["hook /bin/x"],
        },
        {"id": "q", "version": 0, "consumers": nothing, "behind": []},
    ]
    assert wire.beat_body(replace(QUIET, uptake=()))["uptake"] == []
    assert "uptake" not in wire.beat_body(QUIET)


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        (["uptake", "another", "mutations-event"], {"uptake", "mutations-event"}),
        ("uptake", set()),
        ({"uptake": True}, set()),
        ([["uptake"], None, 7], set()),
        (None, set()),
    ],
)
def test_extensions_are_read_liberally(named: object, expected: set[str]) -> None:
    """What is no list of names offers nothing."""
    found = wire.beat_answer({"extensions": named}, worker_id="w", url="https://a.test")
    assert found.extensions == Extensions("https://a.test", frozenset(expected))


@pytest.mark.parametrize(
    ("sent", "expected"),
    [(42, 42), (0, 0), (-1, None), (2**63, None), (True, None), ("42", None), (4.2, None)],
)
def test_a_version_is_a_whole_number(sent: object, expected: int | None) -> None:
    """Anything else is none, in a snapshot as in an UPDATE."""
    found = wire.snapshot({"env": {}, "version": sent}, answered_at=NOW)
    assert found.version == expected
    payload = {"delta": {"A": "1"}, "version": sent, "previousVersion": sent}
    event = parse_event(ServerEvent("UPDATE", json.dumps(payload)))
    assert isinstance(event, StreamUpdate)
    assert (event.version, event.previous_version) == (expected, expected)
