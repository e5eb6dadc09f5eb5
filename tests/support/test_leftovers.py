"""No process outlives the test that started it, whatever became of the test."""

from pathlib import Path

import pytest
from test_skips import run

pytestmark = pytest.mark.slow

TESTS = """
import os, subprocess
from pathlib import Path
import pytest

HERE = Path(__file__).parent

def start(name, command="echo $$ > NAME; exec sleep 60"):
    script = command.replace("NAME", str(HERE / name))
    process = subprocess.Popen(["sh", "-c", script])
    while not (HERE / name).exists() or not (HERE / name).read_text():
        pass
    return process

@pytest.fixture(scope="module")
def serving():
    process = start("served")
    yield process
    process.kill()
    process.wait()

def test_a_fixture_serves_several(serving): assert serving.poll() is None
def test_and_another(serving): assert serving.poll() is None

@pytest.fixture
def breaks():
    yield
    raise ValueError("torn")

def test_broken_teardown(breaks): start("torn")

def test_left(): start("left")
def test_detached():
    start("detached", "setsid sh -c 'echo $$ > NAME; exec sleep 60' & sleep 0.1").wait()

def test_ends_by_itself(): start("short", "echo $$ > NAME; exec sleep 0.1")

@pytest.mark.timeout(1)
def test_hangs():
    with start("hung"):
        pass
"""


ENDLESS = """
import subprocess, time
from pathlib import Path
import leftovers, pytest

leftovers.UNWIND_SECONDS = 0.2

@pytest.mark.timeout(0.5)
def test_never_ends():
    process = subprocess.Popen(["sleep", "60"])
    Path(__file__).with_name("pid").write_text(str(process.pid))
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass

def test_another(): pass
"""


def test_what_a_test_leaves_behind_is_ended_and_named(tmp_path: Path) -> None:
    """Also when it left the process group, and when the test waits for it for ever."""
    ended, said = run(tmp_path, TESTS, "--timeout=20")
    assert ended == 1
    assert "1 failed, 6 passed, 3 errors" in said
    for name in ("left", "detached", "hung", "served", "torn"):
        pid = (tmp_path / name).read_text().strip()
        assert not Path("/proc", pid).exists(), name
        assert (f"now: {pid} (sleep 60)" in said) == (name in ("left", "detached"))


def test_a_test_that_cannot_be_ended_does_not_stop_the_run(tmp_path: Path) -> None:
    """Its process is ended, and another one runs what is left."""
    ended, said = run(tmp_path, ENDLESS, "-pparallel", "--processes=1")
    assert ended == 1
    assert "test_never_ends - its process has ended with 1" in said
    assert "1 failed, 1 passed" in said
    assert not Path("/proc", (tmp_path / "pid").read_text()).exists()
