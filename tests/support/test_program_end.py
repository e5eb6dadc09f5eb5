"""A soak or a benchmark that is told to end leaves nothing behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from deadlines import HANG_SECONDS
from polling import wait_until
from process_trees import children, kill, tree

pytestmark = pytest.mark.slow

SUPPORT = Path(__file__).parent
HEAD = """
import subprocess, sys, tempfile, time
import anyio
from program_end import leaving_nothing

LONG = "import time; time.sleep(600)"

def start(code=LONG):
    return subprocess.Popen([sys.executable, "-S", "-c", code])

def wait():
    while True:  # a signal right before a long sleep would be seen at its end
        time.sleep(0.05)

async def in_a_loop():
    with tempfile.TemporaryDirectory():
        async with await anyio.open_process([sys.executable, "-S", "-c", LONG]):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(anyio.sleep, 600)
                tasks.start_soon(anyio.to_thread.run_sync, time.sleep, 0.01)
                print("ready", flush=True)
"""
PROGRAMS = {
    "that waits": """
with leaving_nothing(), tempfile.TemporaryDirectory():
    one = start()
    print("ready", flush=True)
    wait()
""",
    "with orphans": """
ORPHAN = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {LONG!r}])"
with leaving_nothing(), tempfile.TemporaryDirectory():
    start(ORPHAN).wait()
    print("ready", flush=True)
    wait()
""",
    "with an event loop": """
with leaving_nothing(grace_seconds=0.2):
    anyio.run(in_a_loop)
""",
    "with uvloop": """
with leaving_nothing(grace_seconds=0.2):
    anyio.run(in_a_loop, backend_options={"use_uvloop": True})
""",
    "that starts a fork": """
import os
with leaving_nothing(), tempfile.TemporaryDirectory():
    if os.fork() == 0:  # a signal in the middle of it would be lost
        print("ready", flush=True)
    wait()
""",
    "whose block waits for a process": """
with leaving_nothing(grace_seconds=0.2), tempfile.TemporaryDirectory():
    one = start()
    try:
        print("ready", flush=True)
        one.wait()
    finally:
        while one.poll() is None:
            time.sleep(0.01)
""",
}


@contextmanager
def started(place: Path, script: str) -> Iterator[subprocess.Popen[str]]:
    """Start a program as a shell does in the background, and wait until it is ready.

    It is killed at the end if it is still there.
    """
    (place / "tmp").mkdir()
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process = subprocess.Popen(
            [sys.executable, "-c", HEAD + script],
            env={"PYTHONPATH": str(SUPPORT), "TMPDIR": str(place / "tmp")},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        signal.signal(signal.SIGINT, before)
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            if process.poll() is None:  # `with` would wait for it for ever
                kill([process.pid])


def is_gone(pid: int) -> bool:
    """Whether a process is none any more, or has only its exit code left."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return True
    return fields[0] == "Z"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_leaves_nothing(tmp_path: Path, name: str, number: int) -> None:
    """Neither a process nor a temporary directory; its exit code says why."""
    with started(tmp_path, PROGRAMS[name]) as process:
        wait_until(lambda: len([*tree(process.pid)]) > 1)
        everything = [*tree(process.pid)]
        process.send_signal(number)
        _, errors = process.communicate(timeout=HANG_SECONDS)
    assert process.returncode == 128 + number, errors
    assert errors.endswith(f"interrupted by {signal.Signals(number).name}\n")
    assert [pid for pid in everything if not is_gone(pid)] == []
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_fork_ends_as_it_did(tmp_path: Path) -> None:
    """It has the handlers of the program, and nothing to clean up."""
    with started(tmp_path, PROGRAMS["that starts a fork"]) as process:
        wait_until(lambda: len([*tree(process.pid)]) == 2)
        fork, _ = tree(process.pid)
        os.kill(fork, signal.SIGTERM)
        wait_until(lambda: is_gone(fork))
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=HANG_SECONDS)
    assert errors == "interrupted by SIGTERM\n"


def test_a_program_that_ends_by_itself_is_let_be(tmp_path: Path) -> None:
    """What it has left behind goes as well, and its exit code stays."""
    script = "with leaving_nothing():\n    start(); print('ready', flush=True); sys.exit(3)"
    with started(tmp_path, script) as process:
        _, errors = process.communicate(timeout=HANG_SECONDS)
    assert (process.returncode, errors) == (3, "")


def test_a_signal_between_a_block_and_what_ends_it_counts(tmp_path: Path) -> None:
    """It comes before anything was killed, and does not keep that from being done."""
    script = """
def tell(frame, event, _):
    if event == "call" and frame.f_code.co_name in {"stop", "end"}:
        os.kill(os.getpid(), signal.SIGTERM)

import os, signal
with leaving_nothing():
    tempfile.mkdtemp()
    start()
    print("ready", flush=True)
    sys.setprofile(tell)
"""
    with started(tmp_path, script) as process:
        _, errors = process.communicate(timeout=HANG_SECONDS)
    assert (process.returncode, errors) == (143, "interrupted by SIGTERM\n")
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_process_that_ends_meanwhile_has_no_children() -> None:
    """Whoever else waits for it may reap it at any moment."""
    script = """
import os
while True:
    os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)
"""
    seen: set[int] = set()
    deadline = time.monotonic() + HANG_SECONDS
    with subprocess.Popen([sys.executable, "-S", "-c", script]) as process:
        try:
            while len(seen) < 150 and time.monotonic() < deadline:
                seen.update(tree(process.pid))
        finally:
            process.kill()
    assert len(seen) >= 150
    assert children(process.pid) == set()
