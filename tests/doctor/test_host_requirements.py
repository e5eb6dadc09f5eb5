"""What the settings name, and whether the daemon's user finds it."""

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rensei_daemon.doctor.context import DoctorContext
from rensei_daemon.doctor.host_requirements import check_host_requirements
from rensei_daemon.doctor.result import CheckResult, Verdict

if TYPE_CHECKING:
    from doctor.conftest import Patient

NOBODY = 65534


def found_as(case: DoctorContext, uid: int, pid: int | None = None) -> list[CheckResult]:
    """Judge for this user, and a process of it."""
    return list(check_host_requirements(replace(case, uid=uid, pid=pid)))


def test_nothing_named_needs_nothing(patient: "Patient") -> None:
    """There is one result, a pass."""
    (found,) = patient.find(check_host_requirements)["needs"]
    assert found.verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("text", "what", "fix"),
    [
        (
            '[control]\ngroup = "no-such-group"\n',
            "control.group: there is no group no-such-group on this host",
            "groupadd --system no-such-group",
        ),
        (
            '[platform]\nurl = "http://127.0.0.1:9"\nca_file = "no.pem"\n',
            "platform.ca_file: there is no {place}/no.pem",
            "put it there, or fix platform.ca_file",
        ),
        (
            '[log]\nfile = "no/d.log"\n',
            "log.file: there is no directory {place}/no",
            "install -d -o {user} -m 0750 {place}/no",
        ),
    ],
)
def test_what_run_would_stumble_over_is_told(
    patient: "Patient", text: str, what: str, fix: str
) -> None:
    """Before it does, with the command that fixes it."""
    patient.write(
        text if "[platform]" in text else f'platform.url = "http://127.0.0.1:9"\n{text}'
    )
    (found,) = patient.find(check_host_requirements)["needs"]
    words = {"place": patient.place, "user": Path(patient.place).owner()}
    assert found.verdict is Verdict.FAIL
    assert (found.evidence, found.fix) == (what.format(**words), fix.format(**words))


def test_groups_are_judged_for_the_daemons_user(patient: "Patient") -> None:
    """Root's doctor may give files to any group; the daemon may not."""
    patient.write('platform.url = "http://127.0.0.1:9"\n[control]\ngroup = "daemon"\n')
    (found,) = found_as(patient.case(), NOBODY)
    assert found.evidence == (
        "control.group: the daemon's user nobody is not in the group daemon"
    )
    assert found.fix.startswith("in the unit: SupplementaryGroups=daemon; else: usermod")
    assert found_as(patient.case(), 0)[0].verdict is Verdict.PASS


def test_groups_in_force_are_those_of_the_process(patient: "Patient") -> None:
    """A unit's SupplementaryGroups= are in no book; the running process has them."""
    group = Path(patient.place).group()
    patient.write(f'platform.url = "http://127.0.0.1:9"\n[control]\ngroup = "{group}"\n')
    assert found_as(patient.case(), NOBODY, os.getpid())[0].verdict is Verdict.PASS


@pytest.mark.needs("root")
def test_a_key_that_the_daemons_user_cannot_read_is_seen_by_root(
    patient: "Patient",
) -> None:
    """Root reads it without trouble; the daemon would end with 78."""
    found = found_as(patient.case(), NOBODY)
    (key,) = [f for f in found if f.evidence.startswith("platform.api_key_file")]
    assert "nobody may not" in key.evidence
    assert key.fix.startswith(("chown nobody ", "chmod o+x "))
