"""The daemon's own record under the doctor's eyes."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from rensei_daemon import __version__
from rensei_daemon.core.worker import Worker
from rensei_daemon.disk.identity_file import IdentityFile
from rensei_daemon.doctor.daemon import check_daemon
from rensei_daemon.doctor.result import CheckResult, Verdict
from rensei_daemon.errors import DaemonSilentError, NotPermittedError

if TYPE_CHECKING:
    from doctor.conftest import Patient


def ago(seconds: float) -> str:
    """Spell a time that is past."""
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat()


def healthy() -> dict[str, Any]:
    """Say what a daemon says that is well."""
    return {
        "state": "ok",
        "version": __version__,
        "pid": 1,
        "worker_id": "wkr_1",
        "heartbeat": {
            "interval_seconds": 30,
            "last_ok_at": ago(5),
            "consecutive_failures": 0,
        },
        "mutations": {"applied": 2, "failed": 1, "unacknowledged": 0, "waiting": 0},
        "sessions": [
            {"id": "b", "stream": "live", "refreshed_at": ago(5), "consumers": [{}, {}]}
        ],
        "conditions": [],
    }


def examined(patient: "Patient", status: Mapping[str, Any]) -> dict[str, CheckResult]:
    """Return what is found of a daemon that says this, by code."""
    case = replace(patient.case(), status=status, silence=None, is_running=True)
    return {finding.code: finding for finding in check_daemon(case)}


def test_a_daemon_that_is_well_passes_in_every_part(patient: "Patient") -> None:
    """With the numbers as evidence."""
    found = examined(patient, healthy())
    assert {code: f.verdict for code, f in found.items()} == dict.fromkeys(
        ("daemon", "registration", "heartbeat", "streams", "consumers", "mutations"),
        Verdict.PASS,
    )
    assert found["heartbeat"].evidence == "last good beat 5 s ago, one every 30 s"
    assert found["streams"].evidence == "live streams: 1 of 1 sessions"
    assert found["mutations"].evidence == "2 applied, 1 failed, all acknowledged"


@pytest.mark.parametrize(
    ("code", "severity", "part", "verdict"),
    [
        ("heartbeat.stale", "warning", "heartbeat", Verdict.WARN),
        ("unauthorized", "error", "heartbeat", Verdict.FAIL),
        ("session.stale", "error", "streams", Verdict.FAIL),
        ("stream.interrupted", "warning", "streams", Verdict.WARN),
        ("delivery.failed", "warning", "consumers", Verdict.WARN),
        ("mutation.conflict", "warning", "mutations", Verdict.WARN),
        ("storage", "error", "daemon", Verdict.FAIL),
        ("a.newer.one", "error", "daemon", Verdict.FAIL),
    ],
)
def test_no_condition_is_passed_over(
    patient: "Patient", code: str, severity: str, part: str, verdict: Verdict
) -> None:
    """The doctor is never calmer than `status`; the words and the hint are the same."""
    condition = {"code": code, "severity": severity, "message": "m", "hint": "h"}
    status = healthy() | {"conditions": [condition | {"since": ago(60)}]}
    found = examined(patient, status)[part]
    assert found == CheckResult(part, verdict, f"{code} for 1 min: m", "h")


def test_what_follows_from_another_condition_is_not_to_be_mended(
    patient: "Patient",
) -> None:
    """It counts all the same."""
    cause = {"code": "unauthorized", "subject": "heartbeat"}
    led = {"code": "heartbeat.stale", "severity": "error", "message": "m", "hint": "h"}
    status = healthy() | {"conditions": [led | {"since": ago(60), "because_of": cause}]}
    found = examined(patient, status)["heartbeat"]
    assert (found.verdict, found.fix) == (Verdict.FAIL, "fix unauthorized first")


def test_a_note_is_no_finding(patient: "Patient") -> None:
    """It changes nothing in `status` either."""
    note = {"code": "run_by_root", "severity": "info", "message": "", "hint": ""}
    found = examined(patient, healthy() | {"conditions": [note | {"since": ago(1)}]})
    assert all(f.verdict is Verdict.PASS for f in found.values())


def test_what_has_not_come_yet_is_a_warning(patient: "Patient") -> None:
    """A daemon that has just started has no condition for it."""
    status = healthy() | {"worker_id": None}
    status["heartbeat"] |= {"last_ok_at": None}
    status["sessions"][0] |= {"refreshed_at": None}
    status["mutations"] |= {"waiting": 3}
    found = examined(patient, status)
    for code in ("registration", "heartbeat", "streams", "mutations"):
        assert found[code].verdict is Verdict.WARN
        assert found[code].fix


def test_a_stream_that_is_down_is_no_pass(patient: "Patient") -> None:
    """Also before it is a condition."""
    status = healthy()
    status["sessions"][0] |= {"stream": "interrupted"}
    assert examined(patient, status)["streams"].verdict is Verdict.WARN


def test_an_older_version_that_still_runs_is_a_warning(patient: "Patient") -> None:
    """An upgrade that forgot the restart."""
    found = examined(patient, healthy() | {"version": "0.0.9"})["daemon"]
    assert found.verdict is Verdict.WARN
    assert found.evidence == f"version 0.0.9 runs, and {__version__} is installed"
    start = f"rensei-daemon run --config {patient.locations.config}"
    assert found.fix == f"end it, then: {start}"


def test_a_stopped_daemon_fails_with_what_starts_it(patient: "Patient") -> None:
    """With its last status, and its process."""
    patient.leave({"state": "ok", "reported_at": ago(720)})
    identity = IdentityFile(patient.locations.identity, patient.locations.token)
    identity.save(Worker(id="wkr_7", machine_id="m"))
    found = {finding.code: finding for finding in check_daemon(patient.case())}
    assert list(found) == ["daemon", "registration"]
    assert found["daemon"].verdict is Verdict.FAIL
    assert found["daemon"].evidence.endswith("; 12 min ago it was ok")
    start = f"start it: rensei-daemon run --config {patient.locations.config}"
    assert found["daemon"].fix == start
    assert found["registration"].evidence == "last known to the platform as wkr_7"


@pytest.mark.parametrize(
    ("silence", "verdict"),
    [
        (NotPermittedError("no", hint="join group ops"), Verdict.WARN),
        (DaemonSilentError("stuck", hint="look"), Verdict.FAIL),
    ],
)
def test_a_silent_daemon_is_not_taken_for_a_dead_one(
    patient: "Patient", silence: Any, verdict: Verdict
) -> None:
    """Not to be let in is no failure of the daemon's."""
    case = replace(patient.case(), silence=silence, is_running=True)
    (found,) = check_daemon(case)
    assert (found.verdict, found.evidence, found.fix) == (
        verdict,
        str(silence),
        silence.hint,
    )
