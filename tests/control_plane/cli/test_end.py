"""How the program ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import forked
import pytest
from deadlines import HANG_SECONDS
from platform_program import Program
from polling import wait_until

pytestmark = pytest.mark.slow

SCRIPT = """
import atexit, sys
from rensei_platform.__main__ import main
atexit.register(print, "taken apart")
sys.stdout.write("kept")
main()
"""


@pytest.mark.parametrize(("word", "code"), [("--versio", 64), ("--version", 0)])
def test_it_ends_at_once_with_all_that_was_written(word: str, code: int) -> None:
    """The interpreter is not taken apart, whatever the exit code."""
    command = [sys.executable, "-c", SCRIPT, word]
    environ = {"PATH": os.environ["PATH"]}  # in which output is buffered
    done = subprocess.run(command, capture_output=True, text=True, env=environ, check=False)
    assert done.returncode == code, done.stderr
    assert done.stdout.startswith("kept")
    assert "taken apart" not in done.stdout


COMMAND = [sys.executable, "-m", "rensei_platform"]


def test_output_that_cannot_be_written_is_an_error() -> None:
    """As on a full disk: it is said in one line."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*COMMAND, "--version"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 73
    assert done.stderr == "error: cannot write the output: No space left on device\n"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [("--version", 0), ("host --help", 0), ("doctor --database sqlite:///absent", 1)],
)
def test_a_reader_that_has_gone_is_no_error(
    tmp_path: Path, arguments: str, code: int
) -> None:
    """As `head`; the exit code of `doctor` stays, which finds no database here."""
    program, (reading, writing) = Program(tmp_path), os.pipe()
    os.close(reading)
    with forked.Forked(
        *("rensei_platform", *arguments.split()),
        env=program.environment(),
        cwd=tmp_path,
        stdout=writing,
        stderr=subprocess.PIPE,
    ) as process:
        os.close(writing)
        said = process.communicate(timeout=HANG_SECONDS)[1]
    assert (said, process.returncode) == ("", code)


def test_closed_streams_are_no_error(tmp_path: Path) -> None:
    """A server runs without stdin, stdout and stderr."""
    program = Program(tmp_path)
    program.init("sqlite:///platform.db")
    ready = tmp_path / "ready"
    given = "--database sqlite:///platform.db --port 0 --ready-file ready"
    with subprocess.Popen(
        ["sh", "-c", f'exec "$@" serve {given} <&- >&- 2>&-', "sh", *COMMAND],
        cwd=tmp_path,
        env=program.environment(),
    ) as process:
        wait_until(lambda: ready.exists() or process.poll() is not None)
        process.terminate()
    assert (ready.exists(), process.returncode) == (True, 0)


def test_the_ready_file_replaces_no_device(tmp_path: Path) -> None:
    """Nor is anything served where the file cannot be written; it is said in one line."""
    program = Program(tmp_path)
    program.init("sqlite:///platform.db")
    os.mkfifo(tmp_path / "pipe")
    serve = ("serve", "--database", "sqlite:///platform.db", "--port", 0, "--ready-file")
    for name, message in (
        ("pipe", "pipe: no regular file"),
        ("", ".: no regular file"),
        ("absent/ready", "absent/ready: cannot write the ready file: No such file or"),
    ):
        said = program.run(*serve, name, exit_code=73)
        assert said.startswith(f"error: {message}")
    assert (tmp_path / "pipe").is_fifo()


INTERRUPTED = """
import os, signal, sys

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == "click":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupt())
import rensei_platform.__main__
"""


def test_an_interrupt_of_the_start_is_no_traceback() -> None:
    """The program ends by the signal also while it is imported."""
    command = [sys.executable, "-c", INTERRUPTED]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")
    script = "import signal, rensei_platform.__main__; print(signal.getsignal(2))"
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "<built-in function default_int_handler>\n"
