"""Whether every loop still turns.

A loop promises to be back within so many seconds, each time around. Promises are about
turning, never about reaching anybody: a platform that is down breaks none.
"""


class Deadlines:
    """The promises of all loops, by the loop's name; times are monotonic seconds."""

    def __init__(self) -> None:
        self._due: dict[str, float] = {}

    def set(self, loop: str, until: float) -> None:
        """Promise that the loop comes round again before then."""
        self._due[loop] = until

    def remove(self, loop: str) -> None:
        """Forget a loop that has ended as it should."""
        self._due.pop(loop, None)

    def overdue(self, now: float) -> tuple[str, ...]:
        """Return the loops whose promise is broken."""
        return tuple(sorted(loop for loop, due in self._due.items() if due < now))
