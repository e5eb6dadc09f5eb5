"""The result of a check."""

from collections.abc import Iterable
from enum import StrEnum

from rensei_daemon.errors import RenseiError
from rensei_daemon.fast_dataclass import dataclass


class Verdict(StrEnum):
    """How a check went; the worst is last."""

    PASS = "pass"  # noqa: S105 - no password
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One check: a stable code, its verdict, the evidence, and the fix."""

    code: str
    verdict: Verdict
    evidence: str
    """One line, or several if a file has several problems; never a secret."""
    fix: str = ""
    """A command if there is one; empty for a pass."""


def passed(code: str, evidence: str) -> CheckResult:
    """Return the result of a check that passed."""
    return CheckResult(code, Verdict.PASS, evidence)


def warned(code: str, evidence: str, fix: str) -> CheckResult:
    """Return a result that deserves attention, or could not be determined."""
    return CheckResult(code, Verdict.WARN, evidence, fix)


def failed(code: str, evidence: str, fix: str) -> CheckResult:
    """Return the result of a check that failed."""
    return CheckResult(code, Verdict.FAIL, evidence, fix)


def failed_by(code: str, error: RenseiError) -> CheckResult:
    """Return an error as the result of a check."""
    return failed(code, str(error), error.hint or "see: rensei-daemon logs -n 50")


def worst(findings: Iterable[CheckResult]) -> Verdict:
    """Return the worst verdict; a pass if there is none."""
    order = list(Verdict)
    return max((found.verdict for found in findings), key=order.index, default=order[0])
