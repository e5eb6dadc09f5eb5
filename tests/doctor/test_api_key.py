"""The API key under the doctor's eyes."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from privileges import hidden_files

from rensei_daemon.doctor import api_key
from rensei_daemon.doctor.api_key import check_api_key, find_key, key_awaiting_restart
from rensei_daemon.doctor.result import Verdict

if TYPE_CHECKING:
    from doctor.conftest import Patient

KEY = "rsk_live_canary_key_0123456789"
OTHER = "rsk_live_canary_key_9876543210"


def test_a_good_key_is_told_by_its_place(patient: "Patient") -> None:
    """Never by its text."""
    (found,) = patient.find(check_api_key)["key"]
    assert found.verdict is Verdict.PASS
    assert str(patient.key) in found.evidence
    assert "canary" not in found.evidence


def test_the_environment_goes_first(patient: "Patient") -> None:
    """As it does for the daemon."""
    case = patient.case(RENSEI_API_KEY=OTHER)
    assert find_key(case).secret == OTHER
    assert find_key(case).place == "this shell's RENSEI_API_KEY"


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        ("", 0o600, "empty"),
        ("sk_live_canary", 0o600, "no API key of the platform"),
        (KEY, 0o640, "others can read the API key"),
    ],
)
def test_an_unfit_key_fails(patient: "Patient", text: str, mode: int, said: str) -> None:
    """The daemon would not start with it."""
    patient.write_key(text, mode)
    (found,) = patient.find(check_api_key)["key"]
    assert found.verdict is Verdict.FAIL
    assert said in found.evidence
    assert "canary" not in found.evidence + found.fix


def test_no_key_at_all_fails_with_the_places_for_one(patient: "Patient") -> None:
    """A daemon that is down would say the same at its start."""
    patient.write("")
    (found,) = patient.find(check_api_key)["key"]
    assert found.verdict is Verdict.FAIL
    assert "platform.api_key_file" in found.fix


def test_a_running_daemon_has_a_key_wherever_it_is_from(patient: "Patient") -> None:
    """It would not have started without; its environment is not ours to see."""
    patient.write("")
    (found,) = check_api_key(replace(patient.case(), is_running=True))
    assert found.verdict is Verdict.PASS
    assert "its own environment" in found.evidence


@pytest.fixture
def unit(
    patient: "Patient", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple["Patient", Path, Path]:
    """A user's unit with a credential, and the place a system's would be stored in."""
    patient.locations = replace(patient.locations, unit_scope="user")
    given = tmp_path / "credentials/rensei-daemon.service/api-key"
    given.parent.mkdir(parents=True)
    stored = tmp_path / "stored"
    monkeypatch.setattr(api_key, "STORED", stored)
    return patient, given, stored


def test_the_credential_of_the_running_unit_counts(
    unit: tuple["Patient", Path, Path], tmp_path: Path
) -> None:
    """It is where the service manager laid it down, not in this command's environment."""
    patient, given, _ = unit
    given.write_text(f"{OTHER}\n")
    found = find_key(patient.case(XDG_RUNTIME_DIR=str(tmp_path)))
    assert (found.secret, found.place) == (OTHER, str(given))


def test_an_unfit_credential_is_named_by_its_place(
    unit: tuple["Patient", Path, Path], tmp_path: Path
) -> None:
    """Not as a variable that is not set."""
    patient, given, _ = unit
    given.write_text("canary")
    (found,) = patient.find(check_api_key, XDG_RUNTIME_DIR=str(tmp_path))["key"]
    assert found.evidence == f"{given}: this is no API key of the platform"


def test_a_stored_key_that_others_may_read_fails(
    unit: tuple["Patient", Path, Path],
) -> None:
    """A key that others could read is to be replaced."""
    patient, _, stored = unit
    patient.locations = replace(patient.locations, unit_scope="system")
    stored.write_text(KEY)
    stored.chmod(0o644)
    found = patient.find(check_api_key)
    assert found["key"][0].evidence == f"a key of the platform, from {stored}"
    assert (found["key.file"][0].verdict, found["key.file"][0].evidence) == (
        Verdict.FAIL,
        f"others may read {stored} (mode 0644)",
    )


def test_a_newer_key_that_waits_for_a_restart_is_said(
    unit: tuple["Patient", Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service goes on with the one it was started with, whatever is reloaded."""
    patient, given, stored = unit
    monkeypatch.setattr(api_key, "GIVEN", given.parents[1])
    patient.locations = replace(patient.locations, unit_scope="system")
    given.write_text(f"{KEY}\n")
    stored.write_text(f"{OTHER}\n")
    stored.chmod(0o600)
    (found,) = patient.find(check_api_key)["key.file"]
    assert found.evidence == f"the service still has another key than {stored}"
    assert found.fix == "systemctl restart rensei-daemon"
    assert key_awaiting_restart(patient.locations, {}) == stored
    assert find_key(patient.case()).secret == KEY
    stored.write_text(KEY)
    assert key_awaiting_restart(patient.locations, {}) is None
    by_hand = replace(patient.locations, unit_scope=None)
    stored.write_text(OTHER)
    assert key_awaiting_restart(by_hand, {}) is None


def test_a_key_that_is_hidden_is_no_failure(patient: "Patient") -> None:
    """A user who may not read it gets a hint how to."""
    patient.key.chmod(0)
    with hidden_files():
        (found,) = patient.find(check_api_key)["key"]
    assert (found.verdict, found.fix) == (Verdict.WARN, "run it with sudo")
