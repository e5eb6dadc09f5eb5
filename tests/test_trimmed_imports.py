"""Modules that are kept out of a process."""

import os
import subprocess
import sys

LIGHT = """
import bz2, os, sys
from rensei_daemon.trimmed_imports import import_zoneinfo, trim_imports
trim_imports()
import_zoneinfo()
import shutil, uuid, zipfile, zoneinfo
print(*(name for name in ("bz2", "lzma", "_uuid", "sniffio", "rich") if sys.modules[name]))
print(zoneinfo.TZPATH, "PYTHONTZPATH" in os.environ)
"""


def test_a_light_process_forbids_what_is_not_in_memory_yet() -> None:
    """Later imports fail as if not installed; modules that are imported already stay.

    The variable of the time zones is not left for programs that the daemon starts.
    """
    environ = {name: os.environ[name] for name in os.environ if name != "PYTHONTZPATH"}
    said = subprocess.run(
        [sys.executable, "-c", LIGHT],
        env=environ,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert said == "bz2\n('/usr/share/zoneinfo',) False\n"
