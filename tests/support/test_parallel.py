"""Tests in several processes: a file runs in one, and each cleans up after itself."""

from pathlib import Path

import pytest
from test_skips import run

pytestmark = pytest.mark.slow

TESTS = """
import os, sys, pytest
from pathlib import Path

@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    yield tmp_path_factory.mktemp("shared")
    Path(__file__).with_name(f"closed-{os.getpid()}").touch()

@pytest.mark.parametrize("number", range(3))
def test_it(number, shared):
    with Path(__file__).with_suffix(".ran").open("a") as file:
        file.write(f"{number} {os.getpid()} {shared.parent}\\n")
    print(f"printed {number} by {Path(__file__).stem}", flush=True)
    assert number != 2
"""


def test_each_file_is_run_once_by_one_process(tmp_path: Path) -> None:
    """A failure has the output of its test alone; session fixtures are closed."""
    for name in "abcdef":
        (tmp_path / f"test_{name}.py").write_text(TESTS)
    ended, said = run(tmp_path, TESTS, "-pparallel", "--processes=3")
    assert ended == 1
    assert "7 failed, 14 passed" in said
    by_process: dict[str, set[str]] = {}
    for name in ("it", *"abcdef"):
        lines = (tmp_path / f"test_{name}.ran").read_text().splitlines()
        ran = [line.split() for line in lines]
        assert [number for number, _, _ in ran] == ["0", "1", "2"]
        assert len({pid for _, pid, _ in ran}) == 1
        by_process.setdefault(ran[0][1], set()).add(ran[0][2])
        assert said.count(f"printed 2 by test_{name}\n") == 1
        assert f"printed 1 by test_{name}" not in said
    directories = [directory for own in by_process.values() for directory in own]
    assert len(set(directories)) == len(directories) == len(by_process)
    assert {file.name for file in tmp_path.glob("closed-*")} == {
        f"closed-{pid}" for pid in by_process
    }


def test_the_first_failure_can_end_the_run(tmp_path: Path) -> None:
    """With `-x` no further file is begun."""
    for name in "abcdef":
        (tmp_path / f"test_{name}.py").write_text(TESTS)
    ended, said = run(tmp_path, TESTS, "-pparallel", "--processes=1", "-x")
    assert ended == 1
    assert "1 failed, 2 passed" in said
    assert len(list(tmp_path.glob("*.ran"))) == 1


INTERRUPTED = """
import os, signal, pytest

@pytest.mark.parametrize("number", range(500))
def test_it(number):
    if number == 0:
        os.kill(os.getppid(), signal.SIGINT)
"""


def test_an_interrupted_run_ends(tmp_path: Path) -> None:
    """Also if the signal is for the parent alone."""
    ended, said = run(tmp_path, INTERRUPTED, "-pparallel", "--processes=1")
    assert ended == 2
    assert "KeyboardInterrupt" in said
