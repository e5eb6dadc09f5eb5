"""Ends the process at a deadline, even if a thread is blocked.

A name lookup cannot be cancelled: its thread, and so the interpreter, waits as long as the
name server is silent. Neither can a write to a disk that hangs.
"""

import os
import threading
import time
from collections.abc import Callable

STOP_SECONDS = 4.5
GRACE_SECONDS = 0.2
_STUCK = b"rensei-daemon: ended by force: a disk, or a hook, held it up for too long\n"


class ExitDeadline:
    """Exit some seconds after `start`, and soon after `finish`."""

    def __init__(
        self,
        seconds: float = STOP_SECONDS,
        *,
        grace_seconds: float = GRACE_SECONDS,
        leave: Callable[[int], object] = os._exit,
    ) -> None:
        """`leave` ends the process with an exit code: 0 after `finish`, otherwise 1."""
        self._seconds = seconds
        self._grace_seconds = grace_seconds
        self._leave = leave
        self._is_finished = threading.Event()
        self._is_stuck = threading.Event()

    def start(self) -> None:
        """Start the deadline, when the process is told to stop."""
        # Both threads now: Python 3.12 starts none once the interpreter shuts down.
        for work in (self._wait, self._say_stuck):
            threading.Thread(target=work, name="exit deadline", daemon=True).start()

    def finish(self) -> None:
        """Shorten the deadline: everything durable is done."""
        self._is_finished.set()

    def _say_stuck(self) -> None:
        """Report the exit in a thread of its own, because stderr may block."""
        self._is_stuck.wait()
        os.write(2, _STUCK)

    def _wait(self) -> None:
        if self._is_finished.wait(self._seconds):
            time.sleep(self._grace_seconds)
            self._leave(0)
            return
        self._is_stuck.set()
        time.sleep(self._grace_seconds)
        self._leave(1)
