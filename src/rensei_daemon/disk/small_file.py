"""Reading a small file of the operator's, whatever stands in its place."""

import os
import stat
from pathlib import Path


def read_small_file(path: Path, most_bytes: int) -> tuple[bytes, int]:
    """Return a file's first bytes and its permissions; raises `OSError`."""
    # Without O_NONBLOCK a FIFO in the file's place would hold the daemon for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        return file.read(most_bytes), stat.S_IMODE(os.fstat(descriptor).st_mode)
