"""What only the kernel can do or tell about a file, and Python has no word for."""

import ctypes
import errno
import fcntl
import os
import signal
from pathlib import Path
from typing import BinaryIO

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2

NO_EXCHANGE = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)
"""What `exchange` fails with where the file system or the kernel has no such thing."""


def exchange(one: Path, other: Path) -> None:
    """Let two files swap their names in one step; OSError where that cannot be."""
    libc = ctypes.CDLL(None, use_errno=True)
    arguments = (
        _AT_FDCWD,
        os.fsencode(one),
        _AT_FDCWD,
        os.fsencode(other),
        _RENAME_EXCHANGE,
    )
    if libc.renameat2(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(other))


def is_closed_for_writing(file: BinaryIO) -> bool:
    """Whether nobody has the file open for writing; yes, where that cannot be told.

    The kernel grants a read lease exactly then. It is given back at once: it is a
    question, not a claim.
    """
    try:
        # A writer who comes while we hold the lease has us signalled. By default with
        # SIGIO, which ends a process that does not expect it; SIGURG does nothing.
        fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        # Other refusals mean that this file system, or a file that is not ours, has no
        # leases; then there is nothing to ask.
        return error.errno != errno.EAGAIN
    return True
