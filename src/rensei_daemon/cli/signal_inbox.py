"""The signals that are forwarded to a command, received as bytes that `poll` sees."""

import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

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


@contextmanager
def received_signals() -> Iterator[socket.socket]:
    """Receive every signal to forward as a byte on a socket.

    A signal that the caller ignores stays ignored, here and in the command (`nohup`).
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


def drain(received: socket.socket) -> Iterator[signal.Signals]:
    """Return the signals that have arrived, without those about children."""
    try:
        numbers = received.recv(4096)
    except BlockingIOError:
        return
    for number in numbers:
        if number in PASSED_ON:
            yield signal.Signals(number)
