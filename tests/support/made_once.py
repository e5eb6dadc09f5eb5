"""What is made once for all the processes of a run, by the first that needs it.

Its directory is named in the environment (`temporary.py`), so that forks find it as well as
processes that start anew. A script has one of its own.
"""

import atexit
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

VARIABLE = "RENSEI_TEST_MADE_ONCE"


def new_directory() -> Path:
    """Make the directory; a server that is another user may pass through it."""
    directory = Path(tempfile.mkdtemp(prefix="rensei-once-"))
    directory.chmod(0o711)
    return directory


def made_once(name: str, make: Callable[[Path], None]) -> Path:
    """Return a directory that `make` has filled; whoever comes meanwhile waits for it."""
    shared = _shared()
    made = shared / name
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            unfinished = Path(tempfile.mkdtemp(dir=shared))
            make(unfinished)
            unfinished.rename(made)
    return made


@cache
def _shared() -> Path:
    if directory := os.environ.get(VARIABLE):
        return Path(directory)
    own = new_directory()
    atexit.register(shutil.rmtree, own)
    return own
