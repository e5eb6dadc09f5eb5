"""A process whose memory is nobody else's business, and no more than it needs."""

import os
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


LIGHT = """
import bz2, os, sys
from rensei_daemon.process import travel_light
travel_light()
import shutil, uuid, zipfile, zoneinfo
print(*(name for name in ("bz2", "lzma", "_uuid", "rich") if sys.modules[name]))
print(zoneinfo.TZPATH)
"""


def test_a_light_process_forbids_what_is_not_in_memory_yet() -> None:
    """Who looks for it does without; what somebody holds already is left to them."""
    environ = {name: os.environ[name] for name in os.environ if name != "PYTHONTZPATH"}
    said = subprocess.run(
        [sys.executable, "-c", LIGHT],
        env=environ,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert said == "bz2\n('/usr/share/zoneinfo',)\n"


def test_a_hardened_process_leaves_no_core_and_lets_nobody_look() -> None:
    """No core file, no eyes of other processes, and files for itself alone."""
    words = [sys.executable, "-c", SCRIPT]
    said = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    assert said == "0 (0, 0) 0o77\n"
