"""The pytest plugin that lets no process outlive the test that started it.

Orphans of a test become children of the process that runs it (PR_SET_CHILD_SUBREAPER), so
whatever way they took out of their process group, they are found at the end of the test.
What a fixture for several tests has started may stay until that fixture is done.
"""

import faulthandler
import os
import signal
import time
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path
from types import FrameType

import pytest
from process_trees import adopt_orphans, children, kill, reap

GRACE_SECONDS = 10.0
"""What a process that has been told to end may take, on a busy machine."""
UNWIND_SECONDS = 20.0
"""What a test that took too long has to end; a loop it has upset may wait for ever."""

_kept: set[int] = set()
"""Processes that serve several tests."""


def pytest_configure() -> None:
    """Become the parent of every process whose own parent is gone.

    What a shell starts in the background, as it may have this suite, ignores Ctrl-C, and
    so would everything that the tests start.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    adopt_orphans()


def keep(pid: int) -> None:
    """Let a child outlive the test that started it; it ends with this process."""
    _kept.add(pid)


def _of_this_test() -> set[int]:
    _kept.intersection_update(living := children(os.getpid()))
    return living - _kept


def _command(pid: int) -> str:
    with suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        return f"{pid} ({b' '.join(words).decode(errors='replace').strip()[:200]})"
    return str(pid)


def _wait_for_end(seconds: float) -> set[int]:
    """Wait until no process of this test is left, or so long; return what is left."""
    deadline = time.monotonic() + seconds
    while left := _of_this_test():
        reap(left)
        if time.monotonic() > deadline:
            break
        time.sleep(0.005)
    return left


def _end_all() -> None:
    kill(_of_this_test())
    _wait_for_end(GRACE_SECONDS)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(request: pytest.FixtureRequest) -> Generator[None, object, object]:
    """Note what a fixture for several tests starts."""
    if request.scope == "function":
        return (yield)
    before = children(os.getpid())
    try:
        return (yield)
    finally:
        _kept.update(children(os.getpid()) - before)


@pytest.hookimpl(wrapper=True)
def pytest_timeout_set_timer() -> Generator[None, object, object]:
    """When a test takes too long, end its processes first: it may be waiting for one."""
    done = yield
    complain = signal.getsignal(signal.SIGALRM)

    def end(number: int, frame: FrameType | None) -> None:
        kill(_of_this_test())
        faulthandler.dump_traceback_later(UNWIND_SECONDS, exit=True)
        assert callable(complain)
        complain(number, frame)

    signal.signal(signal.SIGALRM, end)
    return done


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, object, object]:
    """End the whole process, and what it has started, if a test cannot be ended."""
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown() -> Generator[None, None, None]:
    """Fail a test that leaves a process behind, and end the process."""
    try:
        yield
    except BaseException:
        _end_all()
        raise
    if left := _wait_for_end(GRACE_SECONDS):
        named = ", ".join(map(_command, left))
        _end_all()
        pytest.fail(f"left running, and ended now: {named}", pytrace=False)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    """End what a crashed worker has left behind."""
    _end_all()
