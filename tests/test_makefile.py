"""The Makefile on a fresh machine: which Python it takes, and what it says without one."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]

pytestmark = pytest.mark.needs("make")


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A clone, and a directory of programs beside it that alone is on PATH."""
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy(CHECKOUT / name, tmp_path)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("sh", "make", "echo"):
        found = shutil.which(name)
        assert found is not None
        (programs / name).symlink_to(found)
    return tmp_path


SHOW = "--eval=show: ; @echo $(PYTHON)"


def put(machine: Path, name: str, script: str, directory: str = "bin") -> None:
    """Put a program on the machine's PATH, or into its directory `system`."""
    program = machine / directory / name
    program.parent.mkdir(exist_ok=True)
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def make(machine: Path, *words: str) -> tuple[int, str]:
    """Run make there, without what a make around this suite has left in the environment."""
    done = subprocess.run(
        [
            str(machine / "bin/make"),
            "--no-print-directory",
            f"SYSTEM_BIN={machine / 'system'}",
            *words,
        ],
        cwd=machine,
        env={"PATH": str(machine / "bin"), "HOME": os.devnull},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def test_the_newest_python_that_runs_is_taken(machine: Path) -> None:
    """Shims without a Python behind them, and old versions, are skipped."""
    put(machine, "python3.15", "exit 127")
    put(machine, "python3.14", f'exec {sys.executable} "$@"')
    put(machine, "python3.12", f'exec {sys.executable} "$@"')
    assert make(machine, SHOW, "show") == (0, "python3.14\n")


def test_the_systems_own_python_comes_first(machine: Path) -> None:
    """It is taken before a newer one on the PATH, if it can make a venv."""
    runs = f'exec {sys.executable} "$@"'
    put(machine, "python3.14", runs)
    put(machine, "python3.13", "exit 1", "system")
    put(machine, "python3.12", runs, "system")
    assert make(machine, SHOW, "show") == (0, f"{machine}/system/python3.12\n")
    put(machine, "python3.12", "exit 1", "system")
    assert make(machine, SHOW, "show") == (0, "python3.14\n")
    assert make(machine, "PYTHON=mine", SHOW, "show") == (0, "mine\n")


@pytest.mark.parametrize(("words", "has_all"), [((), False), (("ALL=1",), True)])
def test_slow_tests_are_asked_for(
    machine: Path, words: tuple[str, ...], has_all: bool
) -> None:
    """All are run, and the core is measured, only then."""
    put(machine, "python3.14", f'exec {sys.executable} "$@"')
    for path in ("requirements-dev.lock", ".venv/ready", ".venv-dev/ready"):
        (machine / path).parent.mkdir(exist_ok=True)
        (machine / path).touch()
    code, said = make(machine, "--dry-run", "test", *words)
    assert code == 0
    assert ('-m "not slow"' not in said) == has_all
    assert ("--ignore tests/core" in said) == has_all
    assert ("coverage run" in said) == has_all
    assert ("without the slow tests" not in said) == has_all


def test_a_machine_without_python_is_told_what_to_install(machine: Path) -> None:
    """The message is one line."""
    code, said = make(machine, ".venv/ready")
    assert code == 2
    assert said == (
        "No Python 3.11 or newer found. As root: apt-get install python3 python3-venv\n"
    )


def test_a_python_without_venv_names_its_own_package(machine: Path) -> None:
    """The package is that of the chosen Python version."""
    version = f"python3.{sys.version_info.minor}"
    without = 'case "$*" in *ensurepip*) exit 1 ;; esac'
    put(machine, version, f'{without}; exec {sys.executable} "$@"')
    code, said = make(machine, ".venv/ready")
    assert code == 2
    assert said == (
        f"{version} cannot make a venv. As root: apt-get install {version}-venv\n"
    )
