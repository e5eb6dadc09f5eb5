"""This process as its host sees it: small, closed to other eyes, with room for readers."""

import ctypes
import os
import resource
from contextlib import suppress

_PR_SET_DUMPABLE = 4
_M_ARENA_MAX = -8

DESCRIPTORS = 16384
"""What the unit asks for; every reader of the credential socket takes one."""


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


def make_room() -> None:
    """Let this process open as many files as it may, up to what a busy host needs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
