"""What `run` holds in memory for as long as it runs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import atexit, sys
from rensei_daemon.cli.main import main
loaded = lambda: [name for name, module in sys.modules.items() if module is not None]
atexit.register(lambda: print("", *loaded(), sep="\\n", file=sys.stderr))
main(["run"])
"""

UNNEEDED = {
    "_uuid",
    "argparse",
    "bz2",
    "click",
    "difflib",
    "getpass",
    "greenlet",
    "h11",
    "httpcore",
    "httpx._main",
    "lzma",
    "pydantic",
    "pydantic_core",
    "pydantic_settings",
    "rensei_platform",
    "sqlalchemy",
    "rich",
    "starlette",
    "tomlkit",
    "uvicorn",
    "zoneinfo",
}
"""Each of them is within reach of some import of ours, and weighs 0.1 to 3 MB, or is
imported for the first request only."""


@pytest.mark.slow
def test_a_daemon_stays_light(tmp_path: Path) -> None:
    """What it does not need is not imported, or it would miss its target for memory."""
    environ = {
        "PATH": os.environ["PATH"],
        "RENSEI_DAEMON_CONFIG": str(tmp_path / "no.toml"),  # so it ends soon
        "RENSEI_DAEMON_PATHS__STATE": str(tmp_path / "state"),
        "RENSEI_DAEMON_PATHS__RUNTIME": str(tmp_path / "run"),
    }
    command = [sys.executable, "-c", CODE]
    done = subprocess.run(command, env=environ, capture_output=True, check=False)
    assert done.returncode == 78
    loaded = set(done.stderr.decode().split())
    assert "rensei_daemon.daemon" in loaded
    assert loaded & UNNEEDED == set()


ONE_PROCESS = """
from rensei_daemon.cli.main import main
from rensei_daemon.validation_process import ValidationProcess
ValidationProcess.__init__.__kwdefaults__["program"] = ["/bin/false"]
main(["run"])
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[platform]\nurl = 'https://a.test'\n", b"no API key"),
        ("[platform]\nurl = 3\n", b"the configuration could not be checked"),
    ],
)
def test_a_usual_file_needs_no_other_process(
    tmp_path: Path, text: str, said: bytes
) -> None:
    """The daemon goes on with it; one that does not fit is shown to the model."""
    config = tmp_path / "config.toml"
    config.write_text(text)
    environ = {"PATH": os.environ["PATH"], "RENSEI_DAEMON_CONFIG": str(config)}
    done = subprocess.run(
        [sys.executable, "-c", ONE_PROCESS],
        env={**environ, "RENSEI_DAEMON_PATHS__STATE": str(tmp_path)},
        capture_output=True,
        check=False,
    )
    assert said in done.stderr
