"""Memory, protection and limits of the process."""

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from rensei_daemon.process import process_stats

SCRIPT = """
import ctypes, os, resource
from rensei_daemon.process import harden
most = resource.getrlimit(resource.RLIMIT_CORE)[1]
resource.setrlimit(resource.RLIMIT_CORE, (most, most))
harden()
is_dumpable = ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)
print(is_dumpable, resource.getrlimit(resource.RLIMIT_CORE), oct(os.umask(0)))
"""


COLLECTION = """
import gc
from rensei_daemon.process import pause_garbage_collection, resume_garbage_collection
pause_garbage_collection()
paused = gc.isenabled()
resume_garbage_collection()
print(paused, gc.isenabled(), gc.get_freeze_count() > 0)
"""


def test_no_garbage_is_collected_during_the_start() -> None:
    """It resumes without what was made so far."""
    words = [sys.executable, "-c", COLLECTION]
    said = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    assert said == "False True True\n"


GARBAGE = """
import gc, weakref
from rensei_daemon.process import pause_garbage_collection, resume_garbage_collection
pause_garbage_collection()
class Replaced: pass
garbage = weakref.ref(Replaced)
del Replaced
before = garbage() is None
resume_garbage_collection()
print(before, garbage() is None)
"""


def test_what_the_start_left_behind_is_not_kept() -> None:
    """Classes that others were made in place of are half a megabyte of a daemon."""
    words = [sys.executable, "-c", GARBAGE]
    said = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    assert said == "False True\n"


def test_a_hardened_process_leaves_no_core_and_lets_nobody_look() -> None:
    """No core dump, no access by other processes, private files."""
    words = [sys.executable, "-c", SCRIPT]
    said = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    assert said == "0 (0, 0) 0o77\n"


def test_the_figures_are_those_of_this_process() -> None:
    """Memory, files, processor time and start are those of the kernel."""
    before = process_stats()
    with Path(os.devnull).open():
        after = process_stats()
    assert before.open_files is not None
    assert after.open_files == before.open_files + 1
    assert before.open_files == sum(_is_open(number) for number in range(4096))
    assert after.resident_bytes is not None
    assert after.virtual_bytes is not None
    assert 1_000_000 < after.resident_bytes < after.virtual_bytes
    assert 0 < before.cpu_seconds <= after.cpu_seconds
    assert before.started_at is not None
    assert 0 <= time.time() - before.started_at < 24 * 3600


def _is_open(number: int) -> bool:
    with suppress(OSError):
        os.fstat(number)
        return True
    return False


def test_what_the_kernel_does_not_tell_is_left_out(tmp_path: Path) -> None:
    """Without /proc only the figures of system calls are known."""
    found = process_stats(tmp_path)
    assert found.cpu_seconds > 0
    assert (found.resident_bytes, found.virtual_bytes) == (None, None)
    assert (found.open_files, found.started_at) == (None, None)


HARDENED = """
import os
from rensei_daemon.process import harden, process_stats
os.setgid(65534), os.setuid(65534)
harden()
found = process_stats()
print(None in (found.resident_bytes, found.open_files, found.started_at))
"""


@pytest.mark.needs("root")
def test_a_hardened_process_of_a_user_can_still_count_its_own() -> None:
    """Hardening does not prevent a process from reading its own figures."""
    words = [sys.executable, "-c", HARDENED]
    said = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    assert said == "False\n"


STARTED = """
import sys
from contextlib import suppress
from rensei_daemon.cli.run import start
from rensei_daemon.errors import RenseiError
with suppress(RenseiError):
    start(config="/nowhere/config.toml")
print(sys.getswitchinterval())
"""


@pytest.mark.slow
def test_a_busy_thread_gives_the_interpreter_back_in_half_a_millisecond() -> None:
    """Otherwise every answer of the loop waits 5 ms a turn while another thread parses."""
    said = subprocess.run(
        [sys.executable, "-c", STARTED], capture_output=True, text=True, check=True
    )
    assert float(said.stdout) == 0.0005
