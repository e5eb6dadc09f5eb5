"""Waiting for what another process or thread does, where no event tells of it."""

import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
from deadlines import HANG_SECONDS

LOOK_SECONDS = 0.005
REST = 3
"""What a pause is at least, in times of the last look: a look may be a whole process."""

_T = TypeVar("_T")


def wait_until(question: Callable[[], _T]) -> _T:
    """Ask again and again until the answer is truthy, and return it."""
    deadline = time.monotonic() + HANG_SECONDS
    started = time.monotonic()
    while not (answer := question()):
        ended = time.monotonic()
        assert ended < deadline, f"not within {HANG_SECONDS} s"
        time.sleep(max(LOOK_SECONDS, REST * (ended - started)))
        started = time.monotonic()
    return answer


async def until(question: Callable[[], _T]) -> _T:
    """Do the same, and let the other tasks run meanwhile."""
    with anyio.fail_after(HANG_SECONDS):
        while not (answer := question()):  # noqa: ASYNC110 - there is none
            await anyio.sleep(LOOK_SECONDS)
        return answer


async def until_answer(question: Callable[[], Awaitable[_T]]) -> _T:
    """Do the same with a question that takes a request to answer."""
    with anyio.fail_after(HANG_SECONDS):
        while not (answer := await question()):  # noqa: ASYNC110 - there is none
            await anyio.sleep(LOOK_SECONDS)
        return answer
