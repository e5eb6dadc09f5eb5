"""What the settings name, and whether the daemon's user finds it."""

import os
import subprocess
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


def test_a_directory_of_all_logs_is_not_given_to_the_daemon(patient: "Patient") -> None:
    """The log gets one of its own."""
    patient.configure('[log]\nfile = "/var/log/daemon.jsonl"\n')
    (found,) = found_as(patient.case(), NOBODY)
    assert found.evidence == "log.file: nobody may not write in /var/log"
    fix = "install -d -o nobody -m 0750 /var/log/rensei-daemon; put log.file there"
    assert found.fix == fix


_READ_ONLY = """\
mount --bind "$1" "$1"
mount -o remount,bind,ro "$1"
echo
exec cat
"""


@pytest.mark.needs("root", "mount")
def test_the_log_is_where_the_daemons_own_mounts_let_it_write(patient: "Patient") -> None:
    """A unit's sandbox makes read-only what this user may write."""
    log = patient.place / "log"
    log.mkdir()
    patient.configure(f'[log]\nfile = "{log}/d.jsonl"\n')
    assert found_as(patient.case(), 0, os.getpid())[0].verdict is Verdict.PASS
    words = ["unshare", "--mount", "sh", "-euc", _READ_ONLY, "sh", str(log)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as daemon:
        assert daemon.stdout is not None
        assert daemon.stdout.readline() == b"\n"
        (found,) = found_as(patient.case(), 0, daemon.pid)
        daemon.communicate()
    assert found.evidence == f"log.file: {log} is read-only for the daemon"
    assert found.fix.startswith(f"in the unit: ReadWritePaths={log}; then: ")
