"""Run as PID 1, as in a container without an init.

The kernel gives PID 1 every orphan of its namespace, for example processes left by hooks,
and each stays a zombie until PID 1 has waited for it. A daemon that waited for any child
would take the exit status of its own programs from the code that waits for those. So PID 1
stays a small process that only waits and forwards signals, and the daemon runs as its
child. A container has one log, so stderr joins stdout: collectors treat stderr as errors.
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
    """Return in a child if `pid`, this process's, is 1; otherwise return at once.

    PID 1 itself never returns: it exits with the child's exit code, as a shell reports
    it.
    """
    if pid != INIT_PID:
        return
    with suppress(OSError):  # without a stdout, stderr is unchanged
        os.dup2(1, 2)
    signals = {*PASSED_ON, signal.SIGCHLD}
    # Blocked before there is a child, so that none of its exits is missed.
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
    """Wait for every ended process; return the exit code of `child` if it has ended."""
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
