"""This process as an attacker would see it: no core file, no debugger, private files."""

import ctypes
import os
import resource

_PR_SET_DUMPABLE = 4


def harden() -> None:
    """Keep what is in our memory from files and from other processes of our user.

    Best effort: a kernel that refuses costs a protection, not the daemon.
    """
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
