"""System calls on files that Python does not offer."""

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
"""Errors of `exchange` where the file system or the kernel does not support it."""


def exchange(one: Path, other: Path) -> None:
    """Exchange the names of two files in one step; raises OSError if unsupported."""
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
    """Whether nobody has the file open for writing; True if this cannot be determined.

    The kernel grants a read lease only then. The lease is released at once; it only
    answers the question.
    """
    try:
        # The kernel signals us if a writer comes while we hold the lease. The
        # default, SIGIO, would end the process; SIGURG is ignored.
        fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        # Other errors mean that there are no leases, on this file system or for a
        # file that is not ours.
        return error.errno != errno.EAGAIN
    return True
