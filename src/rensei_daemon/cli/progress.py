"""One line on a terminal that says what a command waits for.

It goes to stderr, appears once a wait has taken a second, and is erased at its end; output
that is not a terminal never sees it.
"""

import itertools
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rensei_daemon.cli.terminal import clean, measure
from rensei_daemon.core.duration import format_duration

SHOW_SECONDS = 1.0
TICK_SECONDS = 0.25
_ERASE = "\r\x1b[K"
_active: "list[Progress]" = []
"""Those whose block runs: only the outermost has a line."""


class Progress:
    """What is waited for; `show` is called as often as there is an opportunity."""

    def __init__(self) -> None:
        self._terminal = measure(sys.stderr, os.environ)
        self._since = time.monotonic()
        self._is_shown = False
        self._marks = itertools.cycle("|/-\\")

    @property
    def is_visible(self) -> bool:
        """Whether anybody sees it."""
        return self._terminal.is_tty

    def show(self, what: str) -> None:
        """Replace the line, if the wait is longer than a second."""
        waited = time.monotonic() - self._since
        if not self._terminal.is_tty or waited < SHOW_SECONDS:
            return
        line = f"{next(self._marks)} {clean(what)}, {format_duration(waited)}"
        self._write(_ERASE + line[: self._terminal.width - 1])
        self._is_shown = True

    def erase(self) -> None:
        """Remove the line, so that something else can be printed."""
        if self._is_shown:
            self._write(_ERASE)
            self._is_shown = False

    def _write(self, text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()


@contextmanager
def waiting_for(what: str) -> Iterator[None]:
    """Show what the block waits for, while it does nothing else than wait.

    Within a block that says more of it, nothing is shown.
    """
    if _active:
        yield
        return
    done = threading.Event()
    with progress() as shown:

        def tell() -> None:
            while not done.wait(TICK_SECONDS):
                shown.show(what)

        teller = threading.Thread(target=tell, daemon=True)
        if shown.is_visible:
            teller.start()
        try:
            yield
        finally:
            done.set()
            if shown.is_visible:
                teller.join()


@contextmanager
def progress() -> Iterator[Progress]:
    """Show what the block waits for, and nothing after it."""
    shown = Progress()
    _active.append(shown)
    try:
        yield shown
    finally:
        _active.remove(shown)
        shown.erase()
