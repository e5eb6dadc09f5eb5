"""A fleet that is told to end leaves neither a process nor a file behind."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from deadlines import HANG_SECONDS
from polling import wait_until
from process_trees import kill, tree
from temporary import memory_directory

pytestmark = pytest.mark.slow

FLEET = Path(__file__).with_name("run_fleet.py")
TINY = ("1", "--interval=0.2", "--outage=1", "--database=sqlite")


def directories_of_hosts(pids: list[int], below: Path) -> set[Path]:
    """Return the directories of hosts in which processes have files open."""
    found: set[Path] = set()
    for pid in pids:
        with suppress(OSError):
            for descriptor in Path(f"/proc/{pid}/fd").iterdir():
                with suppress(OSError):
                    found.add(descriptor.readlink())
    names = {path.relative_to(below).parts[0] for path in found if below in path.parents}
    return {below / name for name in names if name.startswith("hosts-")}


def test_a_fleet_that_is_told_to_end_leaves_nothing(tmp_path: Path) -> None:
    """Its server, its hosts, and the directories of both.

    That other signals do the same is shown with programs that take less to start.
    """
    environ = {"PATH": os.environ["PATH"], "TMPDIR": str(tmp_path)}
    below = Path(memory_directory() or tmp_path)
    with subprocess.Popen(
        [sys.executable, FLEET, *TINY],
        env=environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            wait_until(lambda: directories_of_hosts([*tree(process.pid)], below))
            pids = [*tree(process.pid)]
            places = directories_of_hosts(pids, below)
            process.terminate()
            _, errors = process.communicate(timeout=HANG_SECONDS)
        finally:
            if process.poll() is None:  # `with` would wait for it for ever
                kill([process.pid])
    assert process.returncode == 128 + signal.SIGTERM, errors
    assert len(pids) > 2  # its server, and its hosts
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []
    assert [place for place in places if place.exists()] == []
    assert list(tmp_path.iterdir()) == []
