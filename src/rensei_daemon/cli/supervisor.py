"""A command under our care: started, told of rotations, and answered for.

One thread, one `poll`: signals, the credential socket, and the clock. The daemon may go
and come back meanwhile; the command keeps what it has until there is something newer.
"""

import errno
import os
import random
import select
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import NoReturn

from rensei_daemon.delivery.reader import CredentialReader
from rensei_daemon.errors import (
    DaemonNotRunningError,
    NotFoundError,
    NotPermittedError,
    NotRunnableError,
)

PASSED_ON = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGALRM,
    signal.SIGWINCH,
    signal.SIGCONT,
)
TYPED = (signal.SIGINT, signal.SIGQUIT)
"""From a keyboard these reach the command by themselves."""
PYTHON_IGNORES = (signal.SIGPIPE, signal.SIGXFSZ)
"""A program that Python becomes or starts must not."""

BETWEEN_STARTS_SECONDS = 1.0
RECONNECT_SECONDS = (0.05, 1.0)
"""The first wait and the longest; in between they double."""

Environment = Callable[[Mapping[str, str] | None], dict[str, str]]


@dataclass(frozen=True, slots=True)
class Reaction:
    """What a rotation does to the command."""

    number: signal.Signals | None = None
    """Of the signal it is sent; None: it is restarted."""


def become(argv: Sequence[str], env: Mapping[str, str]) -> NoReturn:
    """Give this process's place to the command; raises `NotRunnableError`."""
    for number in PYTHON_IGNORES:
        signal.signal(number, signal.SIG_DFL)
    with _start_errors(argv[0]):
        os.execvpe(argv[0], list(argv), dict(env))  # noqa: S606 - that is what it is for


@contextmanager
def _start_errors(program: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        why = error.strerror or type(error).__name__
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            raise NotFoundError(f"{program}: {why}") from None
        large = "a value, or the whole environment, is larger than the system takes"
        hint = large if error.errno == errno.E2BIG else f"look at it: ls -l {program}"
        raise NotRunnableError(f"{program}: {why}", hint=hint) from None


class Supervisor:
    """Runs a command until it ends by itself."""

    def __init__(
        self,
        argv: Sequence[str],
        environment: Environment,
        reader: CredentialReader,
        reaction: Reaction,
        grace_seconds: float,
    ) -> None:
        """`environment` makes the command's, from the session's values."""
        self._argv = list(argv)
        self._environment = environment
        self._reader = reader
        self._reaction = reaction
        self._grace_seconds = grace_seconds
        self._values: Mapping[str, str] | None = None
        self._has: Mapping[str, str] | None = None
        """What the command was started with, or last told of."""
        self._pid = 0
        self._started_at = 0.0
        self._is_restarting = False
        self._told_to_end_at = -float("inf")
        self._kill_at = self._reconnect_at = float("inf")
        self._reconnect_wait = RECONNECT_SECONDS[0]

    def run(self, values: Mapping[str, str] | None) -> int:
        """Start the command and return what its exit code amounts to in a shell.

        Raises `NotRunnableError` when it cannot be started.
        """
        self._values = values
        with _signals() as received:
            self._start()
            while True:
                for number in _drain(received):
                    self._pass_on(number)
                self._hear()
                code = self._ended()
                if code is not None:
                    if not self._is_restarting or self._is_ending():
                        return code
                    self._start()
                self._react()
                self._wait(received)

    def _wait(self, received: socket.socket) -> None:
        waiting = select.poll()
        waiting.register(received, select.POLLIN)
        if self._reader.is_open:
            waiting.register(self._reader, select.POLLIN)
        due = min(self._kill_at, self._reconnect_at)
        if self._has != self._values and not self._is_restarting:
            may_start_at = self._started_at + BETWEEN_STARTS_SECONDS
            due = min(due, max(may_start_at, self._told_to_end_at + self._grace_seconds))
        seconds = due - time.monotonic()
        waiting.poll(None if seconds == float("inf") else max(seconds, 0.0) * 1000)

    # -- the command --

    def _start(self) -> None:
        with _start_errors(self._argv[0]):
            self._pid = os.posix_spawnp(
                self._argv[0],
                self._argv,
                self._environment(self._values),
                setsigdef=PYTHON_IGNORES,
            )
        self._has = self._values
        self._started_at = time.monotonic()
        self._is_restarting = False
        self._kill_at = float("inf")

    def _ended(self) -> int | None:
        pid, status = os.waitpid(self._pid, os.WNOHANG)
        if not pid:
            return None
        code = os.waitstatus_to_exitcode(status)
        return code if code >= 0 else 128 - code

    def _pass_on(self, number: signal.Signals) -> None:
        if number in (*TYPED, signal.SIGTERM):
            self._told_to_end_at = time.monotonic()
        if number not in TYPED or not _is_foreground():
            os.kill(self._pid, number)

    def _is_ending(self) -> bool:
        """Whether somebody told it to end just now: then it is not started again.

        A command that lived on, a shell after Ctrl-C, is restarted as any other.
        """
        return time.monotonic() < self._told_to_end_at + self._grace_seconds

    def _react(self) -> None:
        """Do what is due: restart or signal for a rotation, or kill what did not end."""
        now = time.monotonic()
        if now >= self._kill_at:
            os.kill(self._pid, signal.SIGKILL)
            self._kill_at = float("inf")
        if self._has == self._values or self._is_restarting or self._is_ending():
            return
        if self._reaction.number is not None:
            self._has = self._values
            os.kill(self._pid, self._reaction.number)
        elif now >= self._started_at + BETWEEN_STARTS_SECONDS:
            self._is_restarting = True
            self._kill_at = now + self._grace_seconds
            os.kill(self._pid, signal.SIGTERM)

    # -- the credentials --

    def _hear(self) -> None:
        if time.monotonic() >= self._reconnect_at:
            self._reconnect()
        for frame in self._reader.frames():
            match frame.type:
                case "INITIAL":
                    self._values = frame.env
                    self._reconnect_wait = RECONNECT_SECONDS[0]
                case "UPDATE":
                    self._values = {**(self._values or {}), **frame.env}
                case _:
                    self._reader.close()
        if not self._reader.is_open and self._reconnect_at == float("inf"):
            wait = self._reconnect_wait
            self._reconnect_wait = min(2 * wait, RECONNECT_SECONDS[1])
            jitter = random.uniform(0.5, 1.0)  # noqa: S311 - spreads load
            self._reconnect_at = time.monotonic() + wait * jitter

    def _reconnect(self) -> None:
        self._reconnect_at = float("inf")
        try:
            self._reader.open()
        except (DaemonNotRunningError, NotPermittedError):
            return  # another try is due in a while


@contextmanager
def _signals() -> Iterator[socket.socket]:
    """Have every signal that is ours to pass on arrive as a byte on a socket.

    One that the caller ignores stays ignored, here and in the command (`nohup`).
    """
    sending, receiving = socket.socketpair()
    sending.setblocking(False)
    receiving.setblocking(False)
    wanted = [n for n in PASSED_ON if signal.getsignal(n) is not signal.SIG_IGN]
    before = {n: signal.signal(n, _arrive) for n in (*wanted, signal.SIGCHLD)}
    wakeup = signal.set_wakeup_fd(sending.fileno())
    try:
        yield receiving
    finally:
        signal.set_wakeup_fd(wakeup)
        for number, handler in before.items():
            signal.signal(number, handler)
        sending.close()
        receiving.close()


def _arrive(number: int, frame: FrameType | None) -> None:
    """Do nothing: the byte on the socket is what matters."""


def _drain(received: socket.socket) -> Iterator[signal.Signals]:
    try:
        numbers = received.recv(4096)
    except BlockingIOError:
        return
    for number in numbers:
        if number in PASSED_ON:
            yield signal.Signals(number)


def _is_foreground() -> bool:
    """Whether we and the command are what a terminal's keyboard talks to."""
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return False
