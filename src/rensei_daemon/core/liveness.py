"""Detect loops that no longer run.

A loop sets a deadline for its next iteration, each time. Deadlines are about iterations,
never about reaching anything: a platform that is down causes no missed deadline.
"""


class Deadlines:
    """The deadlines of all loops by name; times are monotonic seconds."""

    def __init__(self) -> None:
        self._due: dict[str, float] = {}

    def set(self, loop: str, until: float) -> None:
        """Set the deadline of the loop's next iteration."""
        self._due[loop] = until

    def remove(self, loop: str) -> None:
        """Remove a loop that has ended normally."""
        self._due.pop(loop, None)

    def overdue(self, now: float) -> tuple[str, ...]:
        """Return the loops that missed their deadline."""
        return tuple(sorted(loop for loop, due in self._due.items() if due < now))
