"""PID 1 of a container: it waits for orphans, passes signals on, and ends with its child.

Each test forks a process that believes it is PID 1; as a subreaper it gets orphans as one.
"""

import ctypes
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from rensei_daemon.init_process import INIT_PID, fork_under_init

PR_SET_CHILD_SUBREAPER = 36

# Python 3.12 and newer; what is forked here runs nothing that a thread could hold.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


@contextmanager
def init(main: Callable[[int], int]) -> Iterator[tuple[int, int]]:
    """Run `main` below an init; (the init's pid, what `main` writes can be read here)."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        fork_under_init(INIT_PID)
        os._exit(main(writing))
    os.close(writing)
    try:
        yield pid, reading
    finally:
        os.close(reading)


def code_of(pid: int) -> int:
    """Wait for a child process, and return its exit code."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize(("ends", "code"), [(0, 0), (78, 78), (-signal.SIGKILL, 137)])
def test_it_ends_with_the_exit_code_of_its_child(ends: int, code: int) -> None:
    """As in a shell, a signal is 128 plus its number."""

    def main(_: int) -> int:
        if ends < 0:
            os.kill(os.getpid(), -ends)
        return ends

    with init(main) as (pid, _):
        assert code_of(pid) == code


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_it_passes_signals_on(number: signal.Signals) -> None:
    """Signals are forwarded to the child, which does not block them."""

    def main(writing: int) -> int:
        signal.pthread_sigmask(signal.SIG_BLOCK, {number})
        os.write(writing, b"ready")
        return 40 if signal.sigwait({number}) == number else 41

    with init(main) as (pid, reading):
        assert os.read(reading, 5) == b"ready"
        os.kill(pid, number)
        assert code_of(pid) == 40


def test_its_child_has_the_signals_that_it_had_before() -> None:
    """Signals that PID 1 blocks are not blocked in the daemon."""

    def main(_: int) -> int:
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        return len({signal.SIGTERM, signal.SIGCHLD} & set(blocked))

    with init(main) as (pid, _):
        assert code_of(pid) == 0


def test_stderr_joins_stdout() -> None:
    """Stderr is redirected to stdout, because a container has one log."""

    def main(writing: int) -> int:
        os.write(2, b"said")
        return 0

    reading, writing = os.pipe()
    stdout = os.dup(1)
    os.dup2(writing, 1)
    os.close(writing)
    try:
        with init(main) as (pid, _):
            assert code_of(pid) == 0
    finally:
        os.dup2(stdout, 1)
        os.close(stdout)
    assert os.read(reading, 10) == b"said"
    os.close(reading)


def test_it_waits_for_orphans_and_leaves_children_of_the_child_alone() -> None:
    """Orphans are reaped; the daemon still gets exit statuses of its own children."""

    def main(writing: int) -> int:
        before, after = os.pipe()
        if not (leader := os.fork()):
            if not (orphan := os.fork()):
                os.close(after)
                os.read(before, 1)  # until its parent is gone
                os._exit(0)
            os.write(writing, f"{orphan}\n".encode())
            os._exit(7)
        os.close(before)
        code = os.waitstatus_to_exitcode(os.waitpid(leader, 0)[1])
        os.close(after)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        os.write(writing, b"waited\n")
        signal.sigwait({signal.SIGTERM})
        return code

    with init(main) as (pid, reading), os.fdopen(os.dup(reading), "rb") as lines:
        orphan = int(lines.readline())
        assert lines.readline() == b"waited\n"
        gone = False
        while not gone:  # there is no event for a pid that is taken out of the table
            try:
                os.kill(orphan, 0)
            except ProcessLookupError:
                gone = True
        os.kill(pid, signal.SIGTERM)
        assert code_of(pid) == 7


def test_elsewhere_nothing_is_done() -> None:
    """A daemon that is not PID 1 does not fork."""
    before = os.getpid()
    fork_under_init(before)
    assert os.getpid() == before
