"""Space, modes and the journal under the doctor's eyes."""

import os
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from journals import open_journal

from rensei_daemon.disk.filesystem_probe import DiskSpace
from rensei_daemon.doctor.configuration import check_configuration
from rensei_daemon.doctor.host_requirements import check_host_requirements
from rensei_daemon.doctor.result import Verdict
from rensei_daemon.doctor.storage import check_storage, judge_disk_space

if TYPE_CHECKING:
    from doctor.conftest import Patient

MIB = 2**20


def test_a_host_that_has_never_run_the_daemon_is_well(patient: "Patient") -> None:
    """What is not there yet is no fault."""
    found = patient.find(check_storage)
    assert [f.verdict for f in found["disk"]] == [Verdict.PASS]
    assert [f.verdict for f in found["files"]] == [Verdict.PASS]
    assert "never run" in found["state"][0].evidence


@pytest.mark.parametrize(
    ("room", "verdict", "said"),
    [
        (DiskSpace(1, 500 * MIB, None, False), Verdict.PASS, "500 MiB left"),
        (DiskSpace(1, 500 * MIB, 5000, False), Verdict.PASS, "500 MiB left"),
        (DiskSpace(1, 63 * MIB, None, False), Verdict.WARN, "63 MiB left"),
        (DiskSpace(1, 500 * MIB, 999, False), Verdict.WARN, "room for 999 more files"),
        (DiskSpace(1, 3 * MIB, None, False), Verdict.FAIL, "full"),
        (DiskSpace(1, 500 * MIB, 0, False), Verdict.FAIL, "full"),
        (DiskSpace(1, 500 * MIB, None, True), Verdict.FAIL, "read-only"),
    ],
)
def test_space_is_judged_before_it_is_gone(
    room: DiskSpace, verdict: Verdict, said: str
) -> None:
    """A journal that cannot be written holds up every mutation."""
    found = judge_disk_space(Path("/state"), room)
    assert found.verdict is verdict
    assert said in found.evidence
    assert bool(found.fix) is (verdict is not Verdict.PASS)


def _widen(patient: "Patient") -> Path:
    patient.locations.state.chmod(0o755)
    return patient.locations.state


def _expose(patient: "Patient") -> Path:
    patient.locations.token.write_text("{}")
    patient.locations.token.chmod(0o644)
    return patient.locations.token


def _loosen(patient: "Patient") -> Path:
    patient.configure('[[credentials.sessions]]\nid = "b"\nenv_file = "b.env"\n')
    file = patient.locations.runtime / "b.env"
    file.touch()
    file.chmod(0o444)
    return file


@pytest.mark.parametrize("spoil", [_widen, _expose, _loosen])
def test_a_file_open_to_others_fails_with_the_line_that_closes_it(
    patient: "Patient", spoil: Callable[["Patient"], Path]
) -> None:
    """One finding, and the fix makes it go."""
    file = spoil(patient)
    (found,) = patient.find(check_storage)["files"]
    assert found.verdict is Verdict.FAIL
    assert f"{file} is open to more than it should be" in found.evidence
    assert found.fix.startswith("chmod ")
    _, mode, name = found.fix.split()
    os.chmod(name, int(mode, 8))  # noqa: PTH101 - as a shell would
    (found,) = patient.find(check_storage)["files"]
    assert found.verdict is Verdict.PASS


def test_a_file_closed_to_its_readers_is_a_warning(patient: "Patient") -> None:
    """Workers would find an env file shut."""
    _loosen(patient).chmod(0o400)
    (found,) = patient.find(check_storage)["files"]
    assert found.verdict is Verdict.WARN
    assert found.evidence.endswith("has mode 0400, not 0440")


@pytest.mark.needs("root")
def test_a_file_of_somebody_else_fails(patient: "Patient") -> None:
    """A command run as root may have left it so."""
    patient.locations.journal.touch(0o600)
    os.chown(patient.locations.journal, 65534, 65534)
    (found,) = patient.find(check_storage)["files"]
    assert found.verdict is Verdict.FAIL
    assert found.fix == f"chown root {patient.locations.journal}"


@pytest.mark.needs("root")
def test_a_user_who_has_only_a_number_is_that_number_in_a_command(
    patient: "Patient",
) -> None:
    """As in a container: `chown uid 4242` would be a mistake of our own."""
    patient.configure("[log]\nfile = 'no/d.log'\n[control]\ngroup = 'daemon'\n")
    os.chown(patient.locations.state, 4242, -1)
    patient.locations.config.chmod(0o600)
    said = [
        found.fix
        for family in (check_storage, check_configuration, check_host_requirements)
        for found in chain.from_iterable(patient.find(family).values())
    ]
    commands = [fix for fix in said if "4242" in fix]
    assert len(commands) >= 4
    assert [fix for fix in commands if "uid 4242" in fix] == []


def test_the_journal_of_a_stopped_daemon_is_read(patient: "Patient") -> None:
    """Sound or damaged; reported before the daemon is started on it."""
    journal = patient.locations.journal
    with open_journal(journal, now=datetime.now(UTC)):
        pass
    (found,) = patient.find(check_storage)["state"]
    assert found.evidence == "the journal is sound, with 0 mutations on record"
    journal.write_bytes(b"no database at all, but long enough to be looked at" * 20)
    (found,) = patient.find(check_storage)["state"]
    assert found.verdict is Verdict.FAIL
    assert str(journal) in found.evidence
