"""The daemon and its status: whether it runs, and what it reports.

The conditions of the status decide, so the doctor never reports less than `status`.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rensei_daemon.core.duration import format_duration
from rensei_daemon.disk.identity_file import IdentityFile
from rensei_daemon.doctor.context import DoctorContext
from rensei_daemon.doctor.result import (
    CheckResult,
    Verdict,
    failed,
    failed_by,
    passed,
    warned,
)
from rensei_daemon.errors import NotPermittedError
from rensei_daemon.process import DESCRIPTORS
from rensei_daemon.version import difference

_VERDICTS = {"error": Verdict.FAIL, "warning": Verdict.WARN}
_PARTS = {
    "heartbeat": ("heartbeat.stale", "unauthorized", "forbidden"),
    "streams": (
        "session.stale",
        "session.unconfirmed",
        "session.too_large",
        "stream.interrupted",
        "stream.flapping",
    ),
    "consumers": ("delivery.failed", "consumer.lagging"),
    "mutations": ("mutation.conflict",),
}
"""Which conditions concern which part of the status; the others concern `daemon`."""


def check_daemon(case: DoctorContext) -> Iterator[CheckResult]:
    """Check the status of a running daemon, or what a stopped one left."""
    status = case.status
    if status is None:
        yield _silent(case)
        yield from _last_registration(case)
        return
    yield from _process(case, status)
    yield _registration(status)
    yield from _part("heartbeat", status, _heartbeat)
    yield from _part("streams", status, _streams)
    yield from _part("consumers", status, _consumers)
    yield from _part("mutations", status, _mutations)
    elsewhere = {code for codes in _PARTS.values() for code in codes}
    for condition in _conditions(status):
        if condition["code"] not in elsewhere:
            yield _of_condition("daemon", condition)


def _silent(case: DoctorContext) -> CheckResult:
    assert case.silence is not None  # noqa: S101 - otherwise there would be a status
    if isinstance(case.silence, NotPermittedError):
        return warned("daemon", str(case.silence), case.silence.hint)
    if case.last_status is None:
        return failed_by("daemon", case.silence)
    last = case.last_status
    what = f"{case.silence}; {_ago(last.get('reported_at'))} ago it was {last.get('state')}"
    return failed("daemon", what, case.silence.hint)


def _last_registration(case: DoctorContext) -> Iterator[CheckResult]:
    worker = IdentityFile(case.locations.identity, case.locations.token).read()
    if worker is not None:
        yield passed("registration", f"last known to the platform as {worker.id}")


def _process(case: DoctorContext, status: Mapping[str, Any]) -> Iterator[CheckResult]:
    running = status.get("version")
    if what := difference(running):
        yield warned("daemon", what, case.locations.restart_command)
    else:
        yield passed("daemon", f"pid {case.pid} runs version {running}, and answers")
    files = _limit(case.pid, "Max open files")
    if files is not None and files < DESCRIPTORS:
        what = f"it may open {files} files: too few for a thousand workers"
        yield warned("limits", what, f"LimitNOFILE={DESCRIPTORS} in its unit, or ulimit -n")


def _limit(pid: int | None, name: str) -> int | None:
    """Return a process's soft limit; None if it cannot be read or is unlimited."""
    try:
        text = Path(f"/proc/{pid}/limits").read_text(encoding="ascii")
    except OSError:
        return None
    lines = (line.removeprefix(name).split() for line in text.splitlines() if name in line)
    soft = next(lines, ["?"])[0]
    return int(soft) if soft.isdigit() else None


def _registration(status: Mapping[str, Any]) -> CheckResult:
    worker = status.get("worker_id")
    if worker:
        return passed("registration", f"known to the platform as {worker}")
    what = "the platform has not taken this host on yet"
    return warned("registration", what, "rensei-daemon logs --level warning")


def _part(
    code: str,
    status: Mapping[str, Any],
    look: Callable[[Mapping[str, Any]], tuple[bool, str]],
) -> Iterator[CheckResult]:
    found = [c for c in _conditions(status) if c["code"] in _PARTS[code]]
    if found:
        yield from (_of_condition(code, condition) for condition in found)
        return
    is_well, evidence = look(status)
    if is_well:
        yield passed(code, evidence)
    else:
        yield warned(code, evidence, "give it a minute, then: rensei-daemon status")


def _heartbeat(status: Mapping[str, Any]) -> tuple[bool, str]:
    line = status["heartbeat"]
    if not line["last_ok_at"]:
        return False, "no good beat yet"
    summary = f"last good beat {_ago(line['last_ok_at'])} ago, one every "
    summary += f"{line['interval_seconds']:g} s"
    failures = line["consecutive_failures"]
    return True, f"{summary}; {failures} failed since" if failures else summary


def _streams(status: Mapping[str, Any]) -> tuple[bool, str]:
    sessions = status["sessions"]
    if not sessions:
        return True, "no sessions are configured"
    live = sum(session["stream"] == "live" for session in sessions)
    has_all = all(session["refreshed_at"] for session in sessions)
    return has_all and live == len(
        sessions
    ), f"live streams: {live} of {len(sessions)} sessions"


def _consumers(status: Mapping[str, Any]) -> tuple[bool, str]:
    count = sum(len(session["consumers"]) for session in status["sessions"])
    return True, f"consumers: {count}, none of them long behind"


def _mutations(status: Mapping[str, Any]) -> tuple[bool, str]:
    line = status["mutations"]
    summary = f"{line['applied']} applied, {line['failed']} failed, "
    owed, waiting = line["unacknowledged"], line["waiting"]
    summary += f"{owed} not yet acknowledged" if owed else "all acknowledged"
    return not waiting, f"{summary}, {waiting} waiting" if waiting else summary


def _conditions(status: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [c for c in status.get("conditions", ()) if c["severity"] in _VERDICTS]


def _of_condition(code: str, condition: Mapping[str, Any]) -> CheckResult:
    what = f"{condition['code']} for {_ago(condition['since'])}: {condition['message']}"
    cause = condition.get("because_of")
    fix = f"fix {cause['code']} first" if cause else condition["hint"]
    return CheckResult(code, _VERDICTS[condition["severity"]], what, fix)


def _ago(time: str | None) -> str:
    if not time:
        return "an unknown time"
    return format_duration(
        (datetime.now(UTC) - datetime.fromisoformat(time)).total_seconds()
    )
