"""What a check found."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from rensei_daemon.errors import RenseiError


class Verdict(StrEnum):
    """How a check went, the worst last."""

    PASS = "pass"  # noqa: S105 - no password
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One check: a stable code, its verdict, what was seen, and what fixes it."""

    code: str
    verdict: Verdict
    evidence: str
    """One line, or several where a file has several problems; never a secret."""
    fix: str = ""
    """A command where there is one; empty for a pass."""


def passed(code: str, evidence: str) -> CheckResult:
    """Return a finding that all is well."""
    return CheckResult(code, Verdict.PASS, evidence)


def warned(code: str, evidence: str, fix: str) -> CheckResult:
    """Return a finding that something deserves a look, or could not be looked at."""
    return CheckResult(code, Verdict.WARN, evidence, fix)


def failed(code: str, evidence: str, fix: str) -> CheckResult:
    """Return a finding that something does not work."""
    return CheckResult(code, Verdict.FAIL, evidence, fix)


def failed_by(code: str, error: RenseiError) -> CheckResult:
    """Return an error as the finding it is."""
    return failed(code, str(error), error.hint or "see: rensei-daemon logs -n 50")


def worst(findings: Iterable[CheckResult]) -> Verdict:
    """Return the gravest verdict among them; a pass when there is none."""
    order = list(Verdict)
    return max((found.verdict for found in findings), key=order.index, default=order[0])
