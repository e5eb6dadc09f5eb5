"""How the program ends."""

import os
import subprocess
import sys

import pytest

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
