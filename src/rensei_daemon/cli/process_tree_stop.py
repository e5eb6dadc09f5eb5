"""Stops a process tree: signal all, wait for the grace period, then kill.

TERM goes to all processes at once, as with a service manager: if a shell ended at TERM
first, its children would not be signalled.
"""

import signal
import time

from rensei_daemon.cli.process_tree import ProcessTree, send

GIVE_UP_SECONDS = 5.0
"""After KILL, for processes of other users and those blocked in the kernel."""
KILL_AGAIN_SECONDS = 0.05
"""For processes that were being forked at that moment."""


class TreeStop:
    """One stop, begun by its construction; `step` continues it."""

    def __init__(
        self, tree: ProcessTree, number: signal.Signals, grace_seconds: float
    ) -> None:
        self._tree = tree
        self._number = number
        self._told: set[int] = set()
        self._kill_at = time.monotonic() + grace_seconds
        self._give_up_at = self._kill_at + GIVE_UP_SECONDS
        self.left: tuple[int, ...] = ()
        """The processes that survived."""

    def signal_new(self) -> None:
        """Send all of them the signal again, within the same grace period."""
        self._told.clear()

    def step(self) -> bool:
        """Do what is due, and return whether it is over."""
        members = self._tree.members()
        if not members:
            return True
        # Parents first: a shell must not see its child end and run the next line.
        for pid in members:
            if pid not in self._told:
                send(pid, self._number)
                send(pid, signal.SIGCONT)  # a stopped process would not receive it
        self._told.update(members)
        now = time.monotonic()
        if now >= self._give_up_at:
            self.left = tuple(members)
            return True
        if now >= self._kill_at:
            for pid in members:
                send(pid, signal.SIGKILL)
        return False

    @property
    def due_at(self) -> float:
        """When the next step is due, unless all end before; monotonic time."""
        now = time.monotonic()
        return self._kill_at if now < self._kill_at else now + KILL_AGAIN_SECONDS
