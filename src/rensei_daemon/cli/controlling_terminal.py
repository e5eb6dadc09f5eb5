"""The terminal whose keyboard reaches us and the command, if there is one.

The command stays in our process group, so Ctrl-C, Ctrl-Z and `fg` reach both without our
help. What is ours to do is to leave the terminal usable for the next start.
"""

import os
import signal
import termios
from contextlib import suppress


class ControllingTerminal:
    """The terminal as it was found."""

    def __init__(self) -> None:
        self._descriptor = -1
        with suppress(OSError):  # a service has none
            self._descriptor = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        self._modes = termios.tcgetattr(self._descriptor) if self.is_foreground else None

    @property
    def is_foreground(self) -> bool:
        """Whether our process group is the one that the keyboard talks to."""
        return self._foreground() == os.getpgrp()

    def _foreground(self) -> int | None:
        try:
            return os.tcgetpgrp(self._descriptor)
        except OSError:  # there is none, or it was hung up
            return None

    def take_back(self) -> None:
        """Undo what a command that was killed has left: its group in front, its modes."""
        group = self._foreground()
        if self._modes is None or group is None:
            return
        if group != os.getpgrp() and not _is_gone(group):
            return  # somebody else, our shell most likely, has it
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
