"""The config file under the doctor's eyes."""

import ctypes
import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from needs import need

from rensei_daemon.doctor.configuration import check_configuration
from rensei_daemon.doctor.result import Verdict

if TYPE_CHECKING:
    from doctor.conftest import Patient

SESSION = '[[credentials.sessions]]\nid = "build"\nproject_id = "p"\n'


def test_a_good_file_passes(patient: "Patient") -> None:
    """It is valid, its owner may replace it, and no edit can be lost."""
    found = patient.find(check_configuration)
    assert {code: f.verdict for code, (f,) in found.items()} == {
        "config": Verdict.PASS,
        "config.file": Verdict.PASS,
        "config.replace": Verdict.PASS,
    }
    assert not list(patient.place.glob(".rensei-doctor.*"))


def test_a_broken_file_fails_by_line_and_column(patient: "Patient") -> None:
    """Without a last good text nothing else is known of the settings."""
    patient.write("[log]\nlevle = 'info'\n")
    (found,) = patient.find(check_configuration)["config"]
    assert found.verdict is Verdict.FAIL
    assert "config.toml:2:1: unknown key" in found.evidence
    assert "last good" not in found.evidence
    assert "rensei-daemon config check" in found.fix
    assert patient.case().settings is None


def test_an_emptied_file_is_no_valid_one(patient: "Patient") -> None:
    """Every key has a default, but an empty file is hardly meant."""
    patient.write("# nothing\n")
    (found,) = patient.find(check_configuration)["config"]
    assert found.verdict is Verdict.FAIL
    assert "the file is empty" in found.evidence


def test_the_example_as_it_is_fails(patient: "Patient") -> None:
    """The operator has not chosen a platform yet."""
    patient.write("[projects]\n")
    (found,) = patient.find(check_configuration)["config"]
    assert found.verdict is Verdict.FAIL
    assert "platform.url is not set" in found.evidence


def test_the_last_good_text_stands_in(patient: "Patient") -> None:
    """The other checks go by what is in force."""
    patient.locations.last_good.write_text(patient.locations.config.read_text())
    patient.write("[")
    case = patient.case()
    assert case.settings is not None
    assert case.settings.platform.url == "http://127.0.0.1:9"
    (found,) = patient.find(check_configuration)["config"]
    assert found.evidence.endswith("\nthe last good text is in force")


def test_a_missing_file_is_said_once(patient: "Patient") -> None:
    """And there is no message about the missing file."""
    patient.locations.config.unlink()
    found = patient.find(check_configuration)
    assert list(found) == ["config"]
    assert "there is no such file" in found["config"][0].evidence


def test_a_file_with_two_names_is_told(patient: "Patient") -> None:
    """A mutation would leave the other name with the old text."""
    config = patient.locations.config
    os.link(config, patient.place / "other.toml")
    (_, found) = patient.find(check_configuration)["config.file"]
    assert found.verdict is Verdict.WARN
    assert found.evidence == f"{config} has 2 names; a mutation reaches only this one"


def test_a_file_mounted_by_itself_fails(patient: "Patient") -> None:
    """The real file is looked at, not only its directory."""
    need("mount")
    config = os.fsencode(patient.locations.config)
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.mount(config, config, None, 4096, None) == 0
    try:
        (found,) = patient.find(check_configuration)["config.replace"]
    finally:
        libc.umount2(config, 2)
    assert found.verdict is Verdict.FAIL
    assert "is mounted by itself, as a single file" in found.evidence
    assert "mount its directory instead" in found.fix


def test_a_loop_of_links_is_told_by_the_text_alone(patient: "Patient") -> None:
    """It leads to no file that could be checked."""
    patient.locations.config.unlink()
    patient.locations.config.symlink_to(patient.locations.config)
    found = patient.find(check_configuration)
    assert list(found) == ["config"]
    assert "Too many levels of symbolic links" in found["config"][0].evidence


def test_a_file_that_everybody_may_write_fails(patient: "Patient") -> None:
    """A user who can write it decides which hooks run."""
    patient.locations.config.chmod(0o666)
    (found,) = patient.find(check_configuration)["config.file"]
    assert (found.verdict, found.fix) == (
        Verdict.FAIL,
        f"chmod o-w {patient.locations.config}",
    )


@pytest.mark.needs("root")
@pytest.mark.parametrize(
    ("file_mode", "directory_mode", "said"),
    [
        (0o600, 0o755, "may not read"),
        (0o644, 0o755, "may not write in"),
        (0o644, 0o777, ""),
    ],
)
def test_the_daemons_user_must_be_able_to_replace_it(
    patient: "Patient", file_mode: int, directory_mode: int, said: str
) -> None:
    """Its user, not the one who asks."""
    os.chown(patient.locations.state, 65534, 65534)
    patient.locations.config.chmod(file_mode)
    patient.place.chmod(directory_mode)
    (found,) = patient.find(check_configuration)["config.file"]
    assert found.verdict is (Verdict.FAIL if said else Verdict.PASS)
    assert said in found.evidence


def test_what_the_state_has_keeps_the_daemon_from_starting(patient: "Patient") -> None:
    """A file in its directory, or the directory itself, is for nothing else."""
    patient.configure(f'{SESSION}env_file = "{patient.locations.journal}"\n')
    (found,) = patient.find(check_configuration)["config"]
    assert "env_file: the daemon itself needs this file" in found.evidence
    patient.locations = replace(patient.locations, runtime=patient.locations.state)
    patient.configure(SESSION)
    (found,) = patient.find(check_configuration)["config"]
    assert found.verdict is Verdict.FAIL
    assert "paths.state is also paths.runtime" in found.evidence


def test_what_will_not_do_what_is_hoped_is_a_warning(patient: "Patient") -> None:
    """The same advice as `config check` gives."""
    patient.configure(f'{SESSION}on_rotate = ["/bin/systemctl", "reload", "w"]\n')
    (found,) = patient.find(check_configuration)["config.advice"]
    assert found.verdict is Verdict.WARN
    assert "runs systemctl on rotation" in found.evidence
    patient.configure(f'{SESSION}env_file = "{patient.key}"\n')
    (found,) = patient.find(check_configuration)["config.advice"]
    assert f"has a file {patient.key}, which exists" in found.evidence


@pytest.mark.parametrize(
    ("mode", "verdict"),
    [(0o755, Verdict.PASS), (0o644, Verdict.FAIL), (None, Verdict.FAIL)],
)
def test_a_hook_must_be_a_program(
    patient: "Patient", mode: int | None, verdict: Verdict
) -> None:
    """It is looked at, and not run."""
    hook = patient.place / "hook"
    if mode is not None:
        hook.write_text(f"#!/bin/sh\ntouch {patient.place}/ran\n")
        hook.chmod(mode)
    patient.configure(f'{SESSION}on_rotate = ["{hook}"]\n')
    (found,) = patient.find(check_configuration)["hook"]
    assert found.verdict is verdict
    assert not (patient.place / "ran").exists()
