"""Runs work on large texts in a thread, so that it does not block the event loop.

A large text becomes hundreds of thousands of objects. A full collection of garbage looks
through all of them, and the loop waits for it: 45 to 75 ms with 10,000 projects, several
times an edit, longer than for anything else. So full collections wait until the work is
done, and the objects are gone; young garbage is collected as always.
"""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import anyio.to_thread

INLINE_BYTES = 64 * 1024
"""A text up to this size costs the event loop a few milliseconds at most."""
FULL_SELDOM = 1000
"""Collections of the middle generation before a full one: more than an edit has."""

_USUALLY = gc.get_threshold()
_T = TypeVar("_T")
_under_way: list[None] = []
"""One for each work that runs: the collector is of the whole process."""


async def run_in_thread(work: Callable[[], _T]) -> _T:
    """Run long work in a thread; raises what it raises."""
    with _full_collections_put_off():
        return await anyio.to_thread.run_sync(work)


async def run_by_size(work: Callable[[], _T], *, size: int) -> _T:
    """Run work that takes time in proportion to `size` bytes; in a thread if it is long."""
    return work() if size <= INLINE_BYTES else await run_in_thread(work)


@contextmanager
def _full_collections_put_off() -> Iterator[None]:
    _under_way.append(None)
    gc.set_threshold(*_USUALLY[:2], FULL_SELDOM)
    try:
        yield
    finally:
        _under_way.pop()
        if not _under_way:
            gc.set_threshold(*_USUALLY)
