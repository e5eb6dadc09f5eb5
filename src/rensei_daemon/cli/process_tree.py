"""All processes that a command started, even outside its process group and session.

As a child subreaper this process becomes the parent of orphaned descendants, so a program
that forks twice and calls setsid is still below us in /proc.
"""

import ctypes
import os
import signal
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from rensei_daemon.cli.command_start import PYTHON_IGNORES

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


class ProcessTree:
    """A command and its descendants."""

    def __init__(self) -> None:
        """Become the parent of all orphaned descendants."""
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
        self.exit_code: int | None = None
        """Of the command; 128+n after signal n; None while it runs."""
        self._pid = 0
        self._has_children = True
        self._strangers: frozenset[int] = frozenset()
        # A shell may have become this process while its background jobs ran.
        self._strangers = frozenset(self.members())

    def start(
        self, argv: Sequence[str], env: Mapping[str, str], *, death_signal: signal.Signals
    ) -> None:
        """Start the command; raises `OSError` if that fails.

        `death_signal` is sent to it, though not to its children, if we are killed.
        """
        self._pid = _spawn(argv, env, death_signal)
        self.exit_code, self._has_children = None, True

    def reap(self) -> bool:
        """Reap ended processes; return whether there were any."""
        any_ended = False
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                self._has_children = False
                return any_ended
            if not pid:
                return any_ended
            any_ended = True
            if pid == self._pid:
                code = os.waitstatus_to_exitcode(status)
                self.exit_code = code if code >= 0 else 128 - code

    def members(self) -> list[int]:
        """Return the ids of all living processes, parents first; empty if none lives."""
        while True:
            found = self._scan()
            # An orphan that is being reparented is missed; its parent has just ended.
            if found or not self.reap():
                return found

    def _scan(self) -> list[int]:
        if not self._has_children:
            return []
        children = defaultdict[int, list[int]](list)
        for name in os.listdir("/proc"):  # noqa: PTH208 - many times as fast
            if name.isdigit() and (parent := _parent(name)) is not None:
                children[parent].append(int(name))
        found = [os.getpid()]
        for pid in found:  # it grows during the loop
            found += (p for p in children[pid] if p not in self._strangers)
        return found[1:]

    def signal_command(self, number: signal.Signals) -> None:
        """Send the command itself a signal, if it runs."""
        if self.exit_code is None:
            send(self._pid, number)


def send(pid: int, number: signal.Signals) -> None:
    """Send a signal; the process may have ended, or belong to another user."""
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _parent(pid: str) -> int | None:
    """Return the parent's id of a living process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    state, parent, *_ = stat.rpartition(b")")[2].split()
    return None if state in (b"Z", b"X") else int(parent)


def _spawn(
    argv: Sequence[str], env: Mapping[str, str], death_signal: signal.Signals
) -> int:
    """Fork and execute; only code between the two can set a death signal."""
    parent = os.getpid()
    failure, failing = os.pipe()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    pid = os.fork()
    if not pid:
        _become_child(argv, env, before, parent, death_signal, failing)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    os.close(failing)
    with os.fdopen(failure, "rb") as reader:
        code = reader.read()
    if code:
        os.waitpid(pid, 0)
        raise OSError(int(code), os.strerror(int(code)))
    return pid


def _become_child(
    argv: Sequence[str],
    env: Mapping[str, str],
    mask: Collection[int],
    parent: int,
    death_signal: signal.Signals,
    failing: int,
) -> None:
    """Execute the command in the child; on failure write the error number to `failing`."""
    try:
        signal.set_wakeup_fd(-1)  # the parent uses it
        caught = [n for n in signal.valid_signals() if callable(signal.getsignal(n))]
        for number in (*caught, *PYTHON_IGNORES):
            signal.signal(number, signal.SIG_DFL)
        _prctl(_PR_SET_PDEATHSIG, death_signal)
        if os.getppid() == parent:  # else it ended before the death signal was set
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            os.execvpe(argv[0], list(argv), dict(env))  # noqa: S606 - intended
    except OSError as error:
        os.write(failing, str(error.errno).encode())
    finally:
        os._exit(127)


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
