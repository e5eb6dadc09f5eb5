"""`install`: the files of the service, below another root than this host's."""

import json
import os
import re
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from rensei_platform.cli.install import require_reach
from rensei_platform.cli.main import commands
from rensei_platform.config import load_config
from rensei_platform.errors import StartError

CHECKOUT = Path(__file__).parents[3]
UNIT = "etc/systemd/system/rensei-platform.service"


@pytest.fixture(autouse=True)
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The program that runs."""
    program = tmp_path / "bin/rensei-platform"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    monkeypatch.setattr("sys.argv", [str(program)])
    return program


def install(*words: str) -> Result:
    """Run the command."""
    return CliRunner().invoke(commands, ["install", *words])


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    """It says what would be done, as root or not."""
    root = tmp_path / "root"
    root.mkdir()
    answer = json.loads(install("--dry-run", "--json", f"--root={root}").output)
    assert answer["steps"] == [
        f"would write {root}/etc/sysusers.d/rensei-platform.conf",
        f"would write {root}/etc/rensei-platform/platform.toml",
        f"would write {root}/{UNIT}",
        f"would run systemd-sysusers --root={root} rensei-platform.conf",
    ]
    assert list(root.iterdir()) == []


@pytest.mark.needs("root", "systemd-sysusers")
def test_it_is_installed_and_brought_up_to_date(tmp_path: Path, program: Path) -> None:
    """The unit runs this program; settings that are there stay as they are."""
    root = tmp_path / "root"
    root.mkdir()
    done = install(f"--root={root}")
    assert done.exit_code == 0, (done.output, done.exception)
    unit = (root / UNIT).read_text()
    assert f"ExecStart={program} serve --config /etc/rensei-platform" in unit
    assert re.search("^rensei-platform:", (root / "etc/passwd").read_text(), re.M)
    settings = root / "etc/rensei-platform/platform.toml"
    load_config(settings, {})
    assert "[providers" not in settings.read_text()
    settings.write_text("port = 1\n")
    (root / UNIT).write_text("[Unit]\n")
    done = install(f"--root={root}")
    assert f"kept {settings}\nwrote {root}/{UNIT}\n" in done.output
    assert (root / UNIT).read_text() == unit
    assert settings.read_text() == "port = 1\n"


@pytest.mark.needs("root", "systemd-sysusers")
@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_the_directories_are_for_everybody(tmp_path: Path, umask: int) -> None:
    """Whatever root's umask is: nobody else could enter them, or anybody write there."""
    root = tmp_path / "a root"
    root.mkdir()
    before = os.umask(umask)
    try:
        done = install(f"--root={root}")
        assert os.umask(umask) == umask
    finally:
        os.umask(before)
    assert done.exit_code == 0, (done.output, done.exception)
    made = {path for path in root.rglob("*") if path.is_dir()}
    assert made
    assert {stat.S_IMODE(path.stat().st_mode) for path in made} == {0o755}
    assert f"systemctl '--root={root}' enable rensei-platform\n" in done.output
    assert f"'{root}/etc/rensei-platform/platform.toml'" in done.output
    assert "owner.key    # on the host that boots it\n" in done.output


@pytest.mark.needs("root", "systemd-sysusers")
def test_links_are_kept(tmp_path: Path) -> None:
    """A unit that is masked stays so, and settings whose target is not there yet."""
    settings, unit = tmp_path / "etc/rensei-platform/platform.toml", tmp_path / UNIT
    for link, target in ((settings, "/absent/platform.toml"), (unit, os.devnull)):
        link.parent.mkdir(parents=True)
        link.symlink_to(target)
    done = install(f"--root={tmp_path}")
    for link in (settings, unit):
        assert f"kept {link}, which is a link\n" in done.output
        assert link.is_symlink()


def test_a_path_that_a_unit_cannot_name_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A space would end the name of the program."""
    program = tmp_path / "a b/rensei-platform"
    program.parent.mkdir()
    program.touch()
    monkeypatch.setattr("sys.argv", [str(program)])
    refused = install("--dry-run", f"--root={tmp_path}").exception
    assert isinstance(refused, StartError)
    assert str(refused) == f"{program}: a unit cannot name this path"


def test_the_unit_of_a_package_is_left_alone(tmp_path: Path) -> None:
    """One in /etc would hide it, and an upgrade with it."""
    packaged = tmp_path / "usr/lib/systemd/system/rensei-platform.service"
    packaged.parent.mkdir(parents=True)
    packaged.touch()
    steps = json.loads(install("--dry-run", "--json", f"--root={tmp_path}").output)["steps"]
    assert [step for step in steps if "platform.service" in step or "user.d" in step] == []


def test_a_program_out_of_reach_is_refused(tmp_path: Path) -> None:
    """The service may not enter a home or /tmp."""
    with pytest.raises(StartError, match="which may not enter /"):
        require_reach(tmp_path / "bin/rensei-platform")


def test_what_is_installed_comes_with_the_wheel() -> None:
    """Every file that the command reads is named in the build's configuration."""
    named = (CHECKOUT / "pyproject.toml").read_text()
    for name in ("service", "sysusers.conf"):
        source = f'"packaging/systemd/rensei-platform.{name}" = "rensei_platform/_packaging'
        assert source in named
    assert '"platform.example.toml" = "rensei_platform/_packaging' in named
