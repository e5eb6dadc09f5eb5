"""What a daemon does that is started as PID 1, as in a container without an init.

The kernel gives PID 1 every orphan of its namespace, the leftovers of hooks for one, and
each stays a zombie until PID 1 has waited for it. A daemon that waited for any child would
take the exit status of its own programs away from whoever waits for those. So PID 1 stays
a small process that only waits and passes signals on, and the daemon runs as its child.

A container has one log, so stderr joins stdout: collectors take what is on stderr for
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
    """Return in a child where `pid`, this process's, is 1; elsewhere at once.

    PID 1 itself never returns: it ends with the child's exit code, as a shell has it.
    """
    if pid != INIT_PID:
        return
    with suppress(OSError):  # without a stdout, stderr stays where it leads
        os.dup2(1, 2)
    signals = {*PASSED_ON, signal.SIGCHLD}
    # Blocked before there is a child, so that none of its ends is missed.
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
    """Wait for whatever has ended; return the exit code of `child` if that has."""
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
