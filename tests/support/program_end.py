"""Ends a program of its own, such as a soak, so that nothing of it stays behind.

TERM and HUP interrupt it as Ctrl-C does. So every block of it is left: temporary
directories go, and servers stop. Whatever it has started and is there after that is killed.
"""

import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import process_trees

GRACE_SECONDS = 5.0
"""For the blocks. One may wait for a process that was not told to end."""
KILL_SECONDS = 10.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Interrupter:
    """Interrupts the main thread, and kills what its blocks wait for too long."""

    def __init__(self, grace_seconds: float) -> None:
        self.number: int | None = None
        """The first signal."""
        self._own = os.getpid()
        self._grace_seconds = grace_seconds
        self._is_over = threading.Event()
        self._late = threading.Thread(target=self._insist, daemon=True)

    def handle(self, number: int, _: FrameType | None) -> None:
        """Raise KeyboardInterrupt."""
        if os.getpid() != self._own:  # a fork, which has nothing to clean up
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        if self.number is None:
            self.number = number
            self._late.start()
        if not self._is_over.is_set():
            raise KeyboardInterrupt

    def _insist(self) -> None:
        """Kill what blocks wait for, and interrupt again: a loop may lose an interrupt."""
        while not self._is_over.wait(self._grace_seconds):
            process_trees.end_children(KILL_SECONDS)
            if not self._is_over.wait(self._grace_seconds):
                os.kill(self._own, signal.SIGINT)

    def stop(self) -> None:
        """Raise no more."""
        self._is_over.set()

    def end(self) -> None:
        """Kill what is left."""
        process_trees.end_children(KILL_SECONDS)


def _noting_directories() -> list[str]:
    """Return the list to which each temporary directory is added that is made from now on.

    A loop that is interrupted may not leave every block, least of all uvloop.
    """
    made: list[str] = []
    make = tempfile.mkdtemp

    def mkdtemp(*how: Any, **more: Any) -> str:
        made.append(str(make(*how, **more)))
        return made[-1]

    tempfile.mkdtemp = mkdtemp  # type: ignore[assignment]
    return made


@contextmanager
def leaving_nothing(grace_seconds: float = GRACE_SECONDS) -> Iterator[None]:
    """Run the program in this block; once, and in the main thread.

    An interrupted program exits with 128 and the number of the signal.
    """
    interrupter, directories = _Interrupter(grace_seconds), _noting_directories()
    process_trees.adopt_orphans()
    for number in _SIGNALS:  # also the one that a shell has its background ignore
        signal.signal(number, interrupter.handle)
    try:
        try:
            yield
        finally:  # an interrupt in here is caught below, and there is none after it
            interrupter.stop()
    except BaseException:  # it may be in a group, or have led to another error
        interrupter.stop()
        if interrupter.number is None:
            raise
    finally:
        interrupter.end()
    if interrupter.number is not None:
        for place in directories:
            shutil.rmtree(place, ignore_errors=True)
        sys.stderr.write(f"interrupted by {signal.Signals(interrupter.number).name}\n")
        sys.stdout.flush()
        sys.stderr.flush()
        # A thread of the loop that was interrupted may wait for work for ever.
        os._exit(128 + interrupter.number)
