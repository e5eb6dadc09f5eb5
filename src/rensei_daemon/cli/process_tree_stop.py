"""The end of a process tree: everybody told, given time, then killed.

TERM goes to all of them at once, as a service manager does it: a shell that ends at TERM
would else leave its children unaware.
"""

import signal
import time

from rensei_daemon.cli.process_tree import ProcessTree, send

GIVE_UP_SECONDS = 5.0
"""After KILL, for what is another user's or stuck in the kernel."""
KILL_AGAIN_SECONDS = 0.05
"""For whoever was being forked at that moment."""


class TreeStop:
    """One end, begun by making this; `step` carries it on."""

    def __init__(
        self, tree: ProcessTree, number: signal.Signals, grace_seconds: float
    ) -> None:
        self._tree = tree
        self._number = number
        self._told: set[int] = set()
        self._kill_at = time.monotonic() + grace_seconds
        self._give_up_at = self._kill_at + GIVE_UP_SECONDS
        self.left: tuple[int, ...] = ()
        """Who lived on all the same."""

    def signal_new(self) -> None:
        """Send everybody the signal once more; the time they have is the same."""
        self._told.clear()

    def step(self) -> bool:
        """Do what is due, and return whether it is over."""
        members = self._tree.members()
        if not members:
            return True
        # Parents first: a shell is not to see its child end and go on to the next line.
        for pid in members:
            if pid not in self._told:
                send(pid, self._number)
                send(pid, signal.SIGCONT)  # one that is stopped would not hear of it
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
        """When the next step is due, if nobody ends before; by the monotonic clock."""
        now = time.monotonic()
        return self._kill_at if now < self._kill_at else now + KILL_AGAIN_SECONDS
