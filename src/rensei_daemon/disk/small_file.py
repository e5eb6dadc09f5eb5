"""Read a small file of the operator's, whatever kind of file it is."""

import os
import stat
from pathlib import Path


def read_small_file(path: Path, most_bytes: int) -> tuple[bytes, int]:
    """Return the first bytes of a file and its permissions; raises `OSError`."""
    # Without O_NONBLOCK, a FIFO would block the daemon forever.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        return file.read(most_bytes), stat.S_IMODE(os.fstat(descriptor).st_mode)
