"""The units as systemd's own tools see them; none of them is started here."""

import shutil
import subprocess
from pathlib import Path

import pytest

PACKAGING = Path(__file__).parents[2] / "packaging/systemd"
UNIT = PACKAGING / "rensei-daemon.service"
PLATFORM_UNIT = PACKAGING / "rensei-platform.service"
USER_UNIT = PACKAGING / "user/rensei-daemon.service"

pytestmark = pytest.mark.needs("systemd-analyze")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A system in a directory, with systemd's own units and our program and unit."""
    for name in (
        "usr/bin/rensei-daemon",
        "usr/bin/rensei-platform",
        "usr/local/bin/worker",
        "bin/kill",
        "bin/sh",
        "bin/systemctl",
    ):
        program = tmp_path / name
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    shutil.copytree("/lib/systemd/system", tmp_path / "lib/systemd/system", symlinks=True)
    units = tmp_path / "etc/systemd/system"
    units.mkdir(parents=True)
    shutil.copy(UNIT, units)
    shutil.copy(PLATFORM_UNIT, units)
    return tmp_path


def analyze(*words: str) -> tuple[int, str]:
    """Run systemd-analyze, and return its exit code and all it had to say."""
    done = subprocess.run(
        ["systemd-analyze", *words], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("name", [UNIT.name, PLATFORM_UNIT.name])
def test_the_unit_is_valid(root: Path, name: str) -> None:
    """`systemd-analyze verify` has nothing to say: it exits 0 even where it complains."""
    unit = root / "etc/systemd/system" / name
    assert analyze("verify", f"--root={root}", str(unit)) == (0, "")


def test_a_complaint_would_be_seen(root: Path) -> None:
    """The check of the unit is not deaf: a directive that does not exist is named."""
    unit = root / "etc/systemd/system/rensei-daemon.service"
    unit.write_text(UNIT.read_text().replace("[Install]", "Restrat=always\n[Install]"))
    _, said = analyze("verify", f"--root={root}", str(unit))
    assert "Restrat" in said


def test_the_examples_are_valid(root: Path) -> None:
    """The units of workers have nothing wrong either, an instance of the template's too."""
    units = root / "etc/systemd/system"
    for example in (PACKAGING / "examples").glob("worker*"):
        shutil.copy(example, units / example.name.replace("@", "@build"))
    written = [str(unit) for unit in units.glob("worker*")]
    assert len(written) == 5
    assert analyze("verify", f"--root={root}", *written) == (0, "")


def test_the_user_unit_is_valid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's service manager has nothing to say about its unit."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    unit = tmp_path / "rensei-daemon.service"
    unit.write_text(USER_UNIT.read_text().replace("/usr/bin/rensei-daemon", "/bin/true"))
    assert analyze("--user", "verify", str(unit)) == (0, "")


@pytest.mark.parametrize("unit", [UNIT, PLATFORM_UNIT])
def test_the_unit_is_hardened(unit: Path) -> None:
    """Its exposure is 2.2 at most, by systemd's own count."""
    options = ("--offline=yes", "--threshold=22", "--no-pager")
    code, said = analyze("security", *options, str(unit))
    assert code == 0, said


def test_what_the_sandbox_must_leave_open() -> None:
    """Peer credentials, the host's load and gifts to groups work inside the sandbox."""
    lines = UNIT.read_text().splitlines()
    directives = [line for line in lines if not line.startswith("#")]
    assert not [line for line in directives if line.startswith("PrivateUsers=")]
    assert not [line for line in directives if line.startswith("ProcSubset=")]
    assert [line for line in directives if line.startswith("SystemCallFilter=")] == [
        "SystemCallFilter=@system-service",
        "SystemCallFilter=~@privileged @resources",
        "SystemCallFilter=@chown",
    ]


@pytest.mark.parametrize("unit", [UNIT, USER_UNIT])
def test_the_sandbox_lets_metrics_be_served(unit: Path) -> None:
    """[metrics].listen works without a drop-in: a network, both families, any port."""
    directives = dict(
        line.split("=", 1)
        for line in unit.read_text().splitlines()
        if "=" in line and not line.startswith("#")
    )
    families = directives.get("RestrictAddressFamilies", "AF_INET AF_INET6").split()
    assert {"AF_INET", "AF_INET6"} <= set(families)
    shut = {"PrivateNetwork", "IPAddressDeny", "SocketBindDeny", "NetworkNamespacePath"}
    assert not shut & directives.keys()
