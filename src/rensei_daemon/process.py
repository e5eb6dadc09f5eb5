"""This process as its host sees it: small, and closed to other eyes."""

import ctypes
import os
import resource
from contextlib import suppress

_PR_SET_DUMPABLE = 4
_M_ARENA_MAX = -8


def harden() -> None:
    """Keep what is in our memory from files and from other processes of our user.

    Best effort: a kernel that refuses costs a protection, not the daemon.
    """
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def stay_small() -> None:
    """Let all threads share one heap: theirs would be half a megabyte that nobody uses.

    Must come before the first thread. A C library without the knob is left as it is.
    """
    with suppress(AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
