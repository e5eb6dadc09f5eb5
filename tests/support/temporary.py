"""The pytest plugin that has temporary files in memory, where a flush to the disk is free.

The daemon flushes each file it writes, which takes 5 ms on a disk and holds up the other
tests. TMPDIR says where, for the processes of a test too; if it is set already, it stays.
"""

import os
import shutil
import tempfile
from functools import partial
from pathlib import Path

import made_once
import pytest

_SHM = "/dev/shm"  # noqa: S108 - names in it are as random as elsewhere
_ENOUGH_BYTES = 2 << 30


def memory_directory() -> str | None:
    """Return a file system in memory, large enough, on which programs may run; or None."""
    try:
        found = os.statvfs(_SHM)
    except OSError:
        return None
    free = found.f_bavail * found.f_frsize
    runs = not found.f_flag & os.ST_NOEXEC
    is_fit = runs and free >= _ENOUGH_BYTES and os.access(_SHM, os.W_OK | os.X_OK)
    return _SHM if is_fit else None


def pytest_configure(config: pytest.Config) -> None:
    """Choose the directory, for this process and for all that it starts."""
    if "TMPDIR" not in os.environ and (directory := memory_directory()):
        os.environ["TMPDIR"] = tempfile.tempdir = directory
    if made_once.VARIABLE not in os.environ:
        shared = made_once.new_directory()
        os.environ[made_once.VARIABLE] = str(shared)
        config.add_cleanup(partial(_remove, shared, os.getpid()))


def _remove(shared: Path, maker: int) -> None:
    """Remove the directory; a fork, which ends before, leaves it to the others."""
    if os.getpid() == maker:
        del os.environ[made_once.VARIABLE]
        shutil.rmtree(shared)
