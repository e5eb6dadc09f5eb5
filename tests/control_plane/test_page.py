"""The page about running a control plane: its commands work as they stand there."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from deadlines import HANG_SECONDS

PAGE = Path(__file__).parents[2] / "docs/control-plane.md"
_BLOCK = re.compile(r"```sh\n([^`]{1,5000})```")


def _commands(title: str) -> str:
    """Return the commands of a section."""
    text = PAGE.read_text()
    section = text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    return "\n".join(_BLOCK.findall(section))


def _free_port() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return str(listener.getsockname()[1])


@pytest.mark.needs("openbao")
def test_ten_minutes(tmp_path: Path) -> None:
    """A newcomer who follows the page has a host, and a rotation reaches it."""
    commands = _commands("From nothing to a rotation")
    for port in ("8790", "8200"):
        commands = commands.replace(port, _free_port())
    stop = "trap 'kill $(jobs -p); wait' EXIT"
    done = subprocess.run(
        ["timeout", str(HANG_SECONDS), "bash", "-c", f"set -eu\n{stop}\n{commands}"],
        cwd=tmp_path,
        env={
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(tmp_path),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "rotated github: sent to 1 session" in done.stdout
    env_file = tmp_path / "build-01/run/build.env"
    assert env_file.read_text() == 'GITHUB_TOKEN="second"\n'
