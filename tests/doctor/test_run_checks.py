"""Checks side by side, against one clock."""

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from deadlines import HANG_SECONDS

from rensei_daemon.doctor.context import DoctorContext
from rensei_daemon.doctor.result import CheckResult, Verdict, passed, worst
from rensei_daemon.doctor.run_checks import run_checks
from rensei_daemon.errors import StorageError

if TYPE_CHECKING:
    from doctor.conftest import Patient


def test_findings_come_in_the_order_of_their_families(patient: "Patient") -> None:
    """However long each takes."""
    second_is_done = threading.Event()

    def first(_: DoctorContext) -> Iterator[CheckResult]:
        assert second_is_done.wait(HANG_SECONDS)
        yield passed("first", "")

    def second(_: DoctorContext) -> Iterator[CheckResult]:
        yield passed("second", "")
        second_is_done.set()

    found = run_checks(patient.case(), {"first": first, "second": second})
    assert [finding.code for finding in found] == ["first", "second"]


def test_a_check_that_hangs_costs_no_other(patient: "Patient") -> None:
    """Its results until then count, and a result reports that it hangs."""
    never = threading.Event()

    def stuck(_: DoctorContext) -> Iterator[CheckResult]:
        yield passed("stuck.early", "")
        never.wait()

    def well(_: DoctorContext) -> Iterator[CheckResult]:
        yield passed("well", "")

    found = run_checks(patient.case(), {"stuck": stuck, "well": well}, seconds=0.2)
    told = [(finding.code, finding.verdict) for finding in found]
    assert told == [
        ("stuck.early", Verdict.PASS),
        ("stuck", Verdict.WARN),
        ("well", Verdict.PASS),
    ]
    never.set()


def test_a_check_that_breaks_is_a_finding(patient: "Patient") -> None:
    """One of ours says what to do; an internal error asks to be reported."""

    def refused(_: DoctorContext) -> Iterator[CheckResult]:
        yield from _raising(StorageError("no room", hint="make some"))

    def broken(_: DoctorContext) -> Iterator[CheckResult]:
        yield from _raising(KeyError("surprise"))

    found = run_checks(patient.case(), {"refused": refused, "broken": broken})
    assert [(f.code, f.evidence, f.fix) for f in found] == [
        ("refused", "no room", "make some"),
        (
            "broken",
            "internal error: KeyError: 'surprise'",
            "please report it, with: rensei-daemon --version",
        ),
    ]
    assert worst(found) is Verdict.FAIL


def _raising(error: Exception) -> Iterator[CheckResult]:
    raise error


def test_nothing_found_is_nothing_wrong() -> None:
    """The verdict of no findings at all."""
    assert worst([]) is Verdict.PASS
