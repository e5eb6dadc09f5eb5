"""What root has to give up for a test of what others meet."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

NOBODY = 65534
CAPABILITY_VERSION_3 = 0x20080522
CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 1, 2
FILE_MODES_IGNORED = 1 << CAP_DAC_OVERRIDE | 1 << CAP_DAC_READ_SEARCH

_Header = ctypes.c_uint32 * 2
_Sets = ctypes.c_uint32 * 6
"""Effective, permitted and inheritable capabilities, low word first; see capset(2)."""


@contextmanager
def hidden_files() -> Iterator[None]:
    """Let file modes count for root too, in this thread."""
    libc = ctypes.CDLL(None, use_errno=True)
    header, before = _Header(CAPABILITY_VERSION_3, 0), _Sets()
    assert libc.capget(header, before) == 0
    without = _Sets(*before)
    without[0] &= ~FILE_MODES_IGNORED
    assert libc.capset(header, without) == 0
    try:
        yield
    finally:
        assert libc.capset(header, before) == 0


@contextmanager
def as_nobody(*groups: int, uid: int = NOBODY) -> Iterator[None]:
    """Be somebody else for a moment, in these groups besides their own; takes root."""
    before = os.getgroups()
    os.setgroups(groups)
    os.setegid(uid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(before)
