"""The unit under the doctor's eyes, by what systemd says of it.

That systemd says it, is seen on a booted host, in `tests/e2e/systemd`.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from rensei_daemon.doctor.result import Verdict
from rensei_daemon.doctor.unit import (
    check_unit,
    judge_exposure,
    judge_unit,
    without_environment,
)

if TYPE_CHECKING:
    from doctor.conftest import Patient

WELL = {
    "LoadState": "loaded",
    "ActiveState": "active",
    "SubState": "running",
    "Result": "success",
    "NRestarts": "0",
    "NeedDaemonReload": "no",
    "UnitFileState": "enabled",
    "WatchdogUSec": "1min",
    "ExecMainStatus": "0",
}


@pytest.mark.parametrize(
    ("shown", "verdict", "said", "fix"),
    [
        ({}, Verdict.PASS, "active (running), enabled", ""),
        ({"NRestarts": "3"}, Verdict.PASS, "restarted 3 times", ""),
        ({"LoadState": "not-found"}, Verdict.WARN, "no unit", "rensei-daemon install"),
        (
            {"UnitFileState": "disabled"},
            Verdict.WARN,
            "not come back after a reboot",
            "systemctl enable rensei-daemon.service",
        ),
        ({"WatchdogUSec": "0"}, Verdict.WARN, "without a watchdog", "WatchdogSec=60s"),
        (
            {"ActiveState": "failed", "Result": "exit-code", "ExecMainStatus": "78"},
            Verdict.FAIL,
            "exit-code, exit code 78",
            "rensei-daemon logs",
        ),
    ],
)
def test_a_unit_is_judged_by_what_systemd_says(
    shown: dict[str, str], verdict: Verdict, said: str, fix: str
) -> None:
    """One finding, the gravest there is."""
    (found,) = judge_unit(WELL | shown, ())
    assert found.verdict is verdict
    assert said in found.evidence
    assert fix in found.fix


def test_a_unit_file_that_systemd_has_not_read_is_said_besides() -> None:
    """The running unit may differ from its file; a user's manager needs --user."""
    reread, well = judge_unit(WELL | {"NeedDaemonReload": "yes"}, ("--user",))
    assert (reread.verdict, well.verdict) == (Verdict.WARN, Verdict.PASS)
    assert reread.fix.startswith("systemctl --user daemon-reload")


@pytest.mark.parametrize(
    ("said", "verdicts"),
    [
        ("→ Overall exposure level for rensei-daemon.service: 1.4 OK 🙂", [Verdict.PASS]),
        (
            "→ Overall exposure level for rensei-daemon.service: 9.2 UNSAFE 😨",
            [Verdict.WARN],
        ),
        ("", []),
    ],
)
def test_the_hardening_score_is_held_to_a_limit(said: str, verdicts: list[Verdict]) -> None:
    """Where systemd gives none, none is made up."""
    assert [found.verdict for found in judge_exposure(said)] == verdicts


def test_what_a_unit_sets_is_nobodys_business() -> None:
    """A drop-in may hold the key, or a proxy's password."""
    unit = '[Service]\nEnvironment=RENSEI_API_KEY=rsk_live_canary "A=b"\nUser=x\n'
    assert without_environment(unit) == "[Service]\nEnvironment=…\nUser=x\n"


def test_a_daemon_started_by_hand_has_no_unit(patient: "Patient") -> None:
    """That is no fault."""
    (found,) = check_unit(patient.case())
    assert found.verdict is Verdict.PASS


@pytest.mark.needs("no systemd")
def test_a_host_without_systemd_has_no_unit_either(patient: "Patient") -> None:
    """A container, for one."""
    patient.locations = replace(patient.locations, unit_scope="system")
    (found,) = check_unit(patient.case())
    assert (found.verdict, found.evidence) == (
        Verdict.PASS,
        "this host is not run by systemd",
    )
