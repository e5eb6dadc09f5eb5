"""The terminal whose keyboard signals reach us and the command, if there is one.

The command stays in our process group, so Ctrl-C, Ctrl-Z and `fg` reach both. This module
only restores the terminal for the next start.
"""

import os
import signal
import termios
from contextlib import suppress


class ControllingTerminal:
    """The terminal and its modes at the start."""

    def __init__(self) -> None:
        self._descriptor = -1
        with suppress(OSError):  # a service has none
            self._descriptor = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        self._modes = termios.tcgetattr(self._descriptor) if self.is_foreground else None

    @property
    def is_foreground(self) -> bool:
        """Whether our process group receives the keyboard's signals."""
        return self._foreground() == os.getpgrp()

    @property
    def is_gone(self) -> bool:
        """Whether there was one at the start, and it has hung up since."""
        return self._descriptor >= 0 and self._foreground() is None

    def _foreground(self) -> int | None:
        try:
            return os.tcgetpgrp(self._descriptor)
        except OSError:  # there is none, or it was closed
            return None

    def take_back(self) -> None:
        """Restore the foreground process group and the modes after a command was killed."""
        group = self._foreground()
        if self._modes is None or group is None:
            return
        if group != os.getpgrp() and not _is_gone(group):
            return  # another process, probably our shell, has it
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
        with suppress(OSError, termios.error):
            os.tcsetpgrp(self._descriptor, os.getpgrp())
            termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._modes)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _is_gone(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
