"""A process whose memory is nobody else's business."""

import subprocess
import sys

SCRIPT = """
import ctypes, os, resource
from rensei_daemon.process import harden
most = resource.getrlimit(resource.RLIMIT_CORE)[1]
resource.setrlimit(resource.RLIMIT_CORE, (most, most))
harden()
is_dumpable = ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)
print(is_dumpable, resource.getrlimit(resource.RLIMIT_CORE), oct(os.umask(0)))
"""


def test_a_hardened_process_leaves_no_core_and_lets_nobody_look() -> None:
    """No core file, no eyes of other processes, and files for itself alone."""
    words = [sys.executable, "-c", SCRIPT]
    said = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    assert said == "0 (0, 0) 0o77\n"
