"""The demo, as a newcomer runs it: what it offers works, and it ends without a trace."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from deadlines import HANG_SECONDS

from rensei_daemon.cli.demo_children import child
from rensei_daemon.cli.demo_lab import CONFIG, Lab
from rensei_daemon.errors import RenseiError

pytestmark = pytest.mark.slow

PROGRAM = str(Path(sys.executable).with_name("rensei-daemon"))
ENDLESS = ("status --watch", "logs -f", "$EDITOR")
WITHOUT_EXTRA = """
import sys
from rensei_daemon.cli.main import main
sys.modules["starlette"] = None
main(["demo"])
"""


def run(line: str) -> str:
    """Run a line in a shell as it was printed, and return what it said."""
    done = subprocess.run(
        ["sh", "-euc", line],
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), line
    return done.stdout


def _command(line: str) -> str:
    """Return the first word after the program."""
    return line.split()[1]


def test_what_it_offers_works_as_printed_and_ctrl_c_ends_it() -> None:
    """Every line can be pasted; Ctrl-C, which all of its group gets, is no accident."""
    with subprocess.Popen(
        [PROGRAM, "demo", "--keep"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as demo:
        assert demo.stdout is not None
        shown = []
        for line in demo.stdout:
            shown.append(line)
            if "host show" in line:
                break
        start = next(n for n, line in enumerate(shown) if "another terminal" in line) + 1
        export, *offered = (line.strip() for line in shown[start:])
        folder = Path(export.partition("=")[2]).parent
        said = {
            _command(line): run(f"{export}; {line}")
            for line in offered
            if not any(word in line for word in ENDLESS)
        }
        os.killpg(demo.pid, signal.SIGINT)
        rest = demo.stdout.read()
    assert set(said) == {"mutations", "credentials", "exec", "host"}
    assert "project.add" in said["mutations"]
    assert said["credentials"] == "rotated github: sent to 1 session\n"
    assert said["exec"].startswith("ghp_")
    assert "Traceback" not in rest
    assert "Both stopped and every temporary file removed" in rest
    assert demo.returncode == 0
    assert not folder.exists()


def test_a_process_that_dies_is_noticed_at_once_with_its_last_words(
    tmp_path: Path,
) -> None:
    """Nobody is kept waiting for what cannot come any more."""
    lab = Lab(tmp_path)
    words = {"host": "demo-host", "host_id": "wh_demo", "session": "build"}
    lab.config.write_text(CONFIG.format(url="http://127.0.0.1:1", **words))
    lab.key_file.touch(mode=0o600)
    lab.key_file.write_text(f"rsk_live_{'n' * 32}")
    command = ("rensei_daemon", "run", "--config", str(lab.config))
    with child("daemon", tmp_path, command) as daemon:
        lab.children.append(daemon)
        assert os.getsid(daemon.process.pid) != os.getsid(0)  # Ctrl-C is not for it
        lab.wait_for("its start", lambda: "daemon.started" in daemon.last_words())
        daemon.process.kill()
        daemon.process.wait()
        with pytest.raises(RenseiError) as caught:
            lab.wait_for("something", lambda: None)
    assert str(caught.value) == "the daemon ended too early, with signal 9"
    assert caught.value.hint.startswith("the daemon said:\n")
    assert "daemon.started" in caught.value.hint


def test_without_the_platform_it_says_so_at_once() -> None:
    """Before anything is started or shown."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_EXTRA], capture_output=True, text=True, check=False
    )
    what, remedy = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (64, "")
    assert what == "rensei-daemon: the control plane needs starlette: not installed"
    assert remedy.startswith("  in an environment of its own: pip install ")
    assert remedy.endswith("[platform]'")
