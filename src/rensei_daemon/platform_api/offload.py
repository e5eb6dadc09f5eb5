"""Runs work on large foreign texts in a thread, so that it does not block the loop."""

from collections.abc import Callable
from typing import TypeVar

import anyio.to_thread

INLINE_BYTES = 64 * 1024
"""A text up to this size costs the event loop a few milliseconds at most."""

_T = TypeVar("_T")


async def run_in_thread(work: Callable[[], _T], *, size: int) -> _T:
    """Run work that takes time in proportion to `size` bytes; in a thread if it is long."""
    if size <= INLINE_BYTES:
        return work()
    return await anyio.to_thread.run_sync(work)
