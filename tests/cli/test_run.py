"""What `run` holds in memory for as long as it runs."""

import subprocess
import sys

CODE = """
import atexit, sys
from rensei_daemon.cli import main
loaded = lambda: [name for name, module in sys.modules.items() if module is not None]
atexit.register(lambda: print("", *loaded(), sep="\\n", file=sys.stderr))
main(["run", "--help"])
"""

UNNEEDED = {
    "_uuid",
    "bz2",
    "click",
    "csv",
    "difflib",
    "getpass",
    "httpx._main",
    "importlib.metadata",
    "lzma",
    "rensei_daemon.local_platform",
    "rich",
    "starlette",
    "tomlkit",
    "uvicorn",
    "zipfile",
}
"""Each of them is within reach of some import of ours, and weighs 0.1 to 3 MB."""


def test_a_daemon_stays_light() -> None:
    """What it does not need is not imported, or it would miss its target for memory."""
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, check=True)
    loaded = set(done.stderr.decode().split())
    assert "rensei_daemon.daemon" in loaded
    assert loaded & UNNEEDED == set()
