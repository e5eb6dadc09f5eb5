"""The end of a process with blocked threads."""

import subprocess
import sys
import threading

from deadlines import HANG_SECONDS

from rensei_daemon.exit_deadline import ExitDeadline

STUCK = """
import sys, threading, time
from rensei_daemon.exit_deadline import ExitDeadline

threading.Thread(target=time.sleep, args=(60,)).start()  # as a lookup does
deadline = ExitDeadline(0.1, grace_seconds=0.05)
deadline.start()
if "finish" in sys.argv:
    deadline.finish()
"""


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", STUCK, *words],
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=False,
    )


def test_what_is_finished_ends_well() -> None:
    """After `finish` a blocked thread does not delay the exit, which is a success."""
    done = _run("finish")
    assert (done.returncode, done.stderr) == (0, "")


def test_what_is_not_finished_ends_all_the_same() -> None:
    """Without `finish` the process ends at the deadline, with a message and a failure."""
    done = _run()
    assert done.returncode == 1
    assert "ended by force: a disk, or a hook, held it up" in done.stderr


def test_nothing_ends_before_it_is_told_to_stop() -> None:
    """Without `start` the process is not ended."""
    left = threading.Event()
    deadline = ExitDeadline(0.0, grace_seconds=0.0, leave=lambda _: left.set())
    deadline.finish()
    assert not left.wait(0.02)
    deadline.start()
    assert left.wait(HANG_SECONDS)
