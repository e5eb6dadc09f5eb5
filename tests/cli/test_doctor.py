"""`doctor` from the shell's side."""

import json
import os
import pty
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, cast

import forked
import pytest
from deadlines import HANG_SECONDS
from privileges import NOBODY

from rensei_daemon.cli.doctor import render, to_json
from rensei_daemon.doctor.result import failed, passed, warned

if TYPE_CHECKING:
    from e2e.forking import Done

FORKING = Path(__file__).parents[1] / "e2e/forking.py"
FINDINGS = [
    passed("config", "/etc/rensei-daemon/config.toml is valid"),
    warned(
        "config.advice",
        "session x has no project_id, neither has [credentials]: the platform may refuse "
        "it credentials",
        "fix it",
    ),
    failed("platform.tcp", "port 443 cannot be reached\nnor can another", "call them"),
]


def environ(place: Path) -> dict[str, str]:
    """Lead a command to a host of our own."""
    return {
        "PATH": os.environ["PATH"],
        "RENSEI_DAEMON_PLATFORM__URL": "http://127.0.0.1:9",  # nobody's
        "RENSEI_DAEMON_CONFIG": str(place / "config.toml"),
        "RENSEI_DAEMON_PATHS__STATE": str(place / "state"),
        "RENSEI_DAEMON_PATHS__RUNTIME": str(place / "run"),
    }


def run(
    place: Path, *arguments: str, stdin: int = subprocess.DEVNULL
) -> subprocess.CompletedProcess[str]:
    """Run the doctor on a host of our own."""
    return forked.run(
        "rensei_daemon", "doctor", *arguments, env=environ(place), stdin=stdin
    )


def run_as_stranger(place: Path, *arguments: str) -> "Done":
    """Run the doctor there as another user, who may not be able to read the program."""
    job = {"argv": ["doctor", *arguments], "env": environ(place), "uid": NOBODY}
    done = subprocess.run(
        [sys.executable, FORKING],
        input=json.dumps([job]),
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=True,
    )
    (ended,) = json.loads(done.stdout)
    return cast("Done", ended)


def test_the_screen_tells_what_was_seen_and_what_mends_it() -> None:
    """Evidence in a column of its own, fixes marked, the sum at the end."""
    assert render(FINDINGS, width=80, colour=False) == (
        "pass config         /etc/rensei-daemon/config.toml is valid\n"
        "warn config.advice  session x has no project_id, neither has [credentials]: the\n"
        "                    platform may refuse it credentials\n"
        "                    → fix it\n"
        "fail platform.tcp   port 443 cannot be reached\n"
        "                    nor can another\n"
        "                    → call them\n"
        "\n"
        "3 checks: 1 pass, 1 warn, 1 fail\n"
    )


def test_colour_marks_the_verdict_alone() -> None:
    """The words stay where they are."""
    (first, *_) = render(FINDINGS, width=80, colour=True).splitlines()
    assert first.startswith("\x1b[1;30;42mpass\x1b[0m config")


def test_json_has_stable_keys() -> None:
    """The verdict of all, and of each what a script needs."""
    said = to_json(FINDINGS, datetime(2026, 11, 25, 12, tzinfo=UTC))
    assert said["verdict"] == "fail"
    assert said["checked_at"] == "2026-11-25T12:00:00.000Z"
    assert said["checks"][0] == {
        "code": "config",
        "verdict": "pass",
        "evidence": "/etc/rensei-daemon/config.toml is valid",
        "fix": "",
    }


def test_a_host_without_anything_is_told_what_it_lacks(tmp_path: Path) -> None:
    """No traceback: no file, no key, no daemon, each with what to do."""
    done = run(tmp_path, "--json")
    assert (done.returncode, done.stderr) == (1, "")
    failures = {
        check["code"]: check["fix"]
        for check in json.loads(done.stdout)["checks"]
        if check["verdict"] == "fail"
    }
    assert set(failures) == {"config", "key", "daemon"}
    assert all(failures.values())


def test_a_bundle_is_written_beside_the_report(tmp_path: Path) -> None:
    """Messages about the bundle do not disturb the JSON."""
    done = run(tmp_path, "--json", "--bundle", str(tmp_path / "b.tar.gz"))
    assert (tmp_path / "b.tar.gz").exists()
    assert json.loads(done.stdout)["verdict"] == "fail"
    assert done.stderr.startswith(f"{tmp_path}/b.tar.gz written")


def test_a_bundle_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    """One line what, one line what to do."""
    done = run(tmp_path, "--bundle", str(tmp_path / "nowhere" / "b.tar.gz"))
    assert done.returncode == 1
    what, remedy = done.stderr.splitlines()
    assert what.endswith("nowhere/b.tar.gz: No such file or directory")
    assert remedy.startswith("  ")


@pytest.fixture
def with_a_region(tmp_path: Path) -> Path:
    """A host whose region is also a value of a session."""
    (tmp_path / "config.toml").write_text('[machine]\nregion = "eu-central-1"\n')
    (tmp_path / "run").mkdir(exist_ok=True)
    (tmp_path / "run/build.env").write_text('REGION="eu-central-1"\n')
    return tmp_path


def test_a_script_says_that_a_value_in_the_configuration_is_no_secret(
    with_a_region: Path,
) -> None:
    """Without it both places are named, and nothing is written; with it, the bundle is."""
    bundle = with_a_region / "b.tar.gz"
    refused = run(with_a_region, "--bundle", str(bundle))
    where = (
        f"REGION of {with_a_region}/run/build.env also stands in "
        f"{with_a_region}/config.toml, line 2: if it is no secret, say --yes"
    )
    assert (refused.returncode, refused.stderr.splitlines()[0]) == (1, where)
    assert not bundle.exists()
    run(with_a_region, "--bundle", str(bundle), "--yes")
    assert bundle.exists()


@pytest.mark.parametrize(("answer", "is_written"), [(b"y\n", True), (b"n\n", False)])
def test_a_person_is_asked(with_a_region: Path, answer: bytes, is_written: bool) -> None:
    """On a terminal, where an empty answer means no."""
    bundle = with_a_region / "b.tar.gz"
    ours, theirs = pty.openpty()
    try:
        os.write(ours, answer)
        done = run(with_a_region, "--bundle", str(bundle), stdin=theirs)
    finally:
        os.close(ours)
        os.close(theirs)
    assert "line 2. Is it no secret, and may it be in the bundle? [y/N]" in done.stderr
    assert bundle.exists() is is_written


@pytest.fixture
def shut() -> Iterator[Path]:
    """A host whose key, state and daemon's socket are root's alone."""
    # Not below pytest's own directory, which is nobody else's to enter.
    with tempfile.TemporaryDirectory() as name, socket.socket(socket.AF_UNIX) as control:
        place = Path(name)
        place.chmod(0o755)
        (place / "key").write_text("rsk_live_canary_0123456789")
        (place / "key").chmod(0o600)
        (place / "config.toml").write_text('[platform]\napi_key_file = "key"\n')
        (place / "config.toml").chmod(0o644)
        (place / "state").mkdir(mode=0o700)
        (place / "run").mkdir()
        (place / "run").chmod(0o711)
        control.bind(str(place / "run" / "control.sock"))
        (place / "run" / "control.sock").chmod(0o600)
        yield place


@pytest.mark.slow
@pytest.mark.needs("root")
def test_a_stranger_is_told_what_is_hidden_once(shut: Path) -> None:
    """Not to be let in is no failure, of the daemon's or of a file's."""
    done = run_as_stranger(shut, "--json")
    found = json.loads(done["out"])["checks"]
    hidden = {c["code"]: c for c in found if "sudo" in c["fix"]}
    assert {"key", "daemon", "files"} <= set(hidden)
    assert all(check["verdict"] == "warn" for check in hidden.values())
    assert sum(check["code"] == "files" for check in found) == 1
    assert not any(check["code"] == "state" for check in found)  # a daemon may hold it
    assert "canary" not in done["out"] + done["err"]


@pytest.mark.slow
@pytest.mark.needs("root")
def test_a_stranger_is_told_to_use_sudo_for_a_bundle(shut: Path) -> None:
    """Who may not know the secrets cannot promise that there are none."""
    bundle = shut / "never.tar.gz"
    done = run_as_stranger(shut, "--bundle", str(bundle))
    assert done["code"] == 77, done["err"]
    assert "run it with sudo" in done["err"]
    assert not bundle.exists()
