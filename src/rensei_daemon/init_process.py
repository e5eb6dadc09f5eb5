"""Runs the daemon as a child of PID 1, if it is started as PID 1 (in a container).

PID 1 becomes the parent of every orphan of its namespace, such as processes that hooks
leave behind, and must wait for each, or it stays a zombie. The daemon itself must not wait
for arbitrary children, because it would take exit statuses that its own code waits for. So
PID 1 stays a small process that waits and forwards signals.

A container has one log, so stderr is redirected to stdout: log collectors treat stderr as
errors.
"""

import os
import signal
from contextlib import suppress
from typing import NoReturn

INIT_PID = 1
PASSED_ON = frozenset(
    {
        signal.SIGHUP,
        signal.SIGINT,
        signal.SIGQUIT,
        signal.SIGTERM,
        signal.SIGUSR1,
        signal.SIGUSR2,
    }
)


def fork_under_init(pid: int) -> None:
    """Return in a child process if `pid`, that of this process, is 1; else return at once.

    PID 1 itself never returns: it exits with the child's exit code, as a shell does.
    """
    if pid != INIT_PID:
        return
    with suppress(OSError):  # without a stdout, stderr stays as it is
        os.dup2(1, 2)
    signals = {*PASSED_ON, signal.SIGCHLD}
    # Blocked before the fork, so that no SIGCHLD is missed.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    child = os.fork()
    if child:
        _be_init(child, signals)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _be_init(child: int, signals: set[signal.Signals]) -> NoReturn:
    while True:
        number = signal.sigwait(signals)
        if number != signal.SIGCHLD:
            os.kill(child, number)
        elif (code := _reap(child)) is not None:
            os._exit(code)


def _reap(child: int) -> int | None:
    """Wait for ended processes; return the exit code of `child` if it is one of them."""
    code: int | None = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return code
        if not pid:
            return code
        if pid == child:
            ended = os.waitstatus_to_exitcode(status)
            code = ended if ended >= 0 else 128 - ended
