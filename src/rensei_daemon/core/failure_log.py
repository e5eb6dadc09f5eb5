"""When to log a failure that repeats.

The first, the 10th and the 100th failure are logged, then one every five minutes, always
with the count. A caller keeps one `FailureStreak` per operation and asks it; the other
failures are logged at debug level. Times are arguments, in monotonic seconds.

The text of a failure may differ each time: because the cause is new, or because it contains
a number. Nothing can distinguish the two reliably, so a few new texts of a streak are
logged at once; after them only the count decides.
"""

from math import inf

from rensei_daemon.fast_dataclass import dataclass

MILESTONES = (1, 10, 100)
EVERY_SECONDS = 300.0
MOST_TEXTS = 5
"""How many texts of a streak are logged as new; a text may vary without end."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """A streak that has ended."""

    count: int
    """The number of failures."""
    seconds: float
    """From the first failure until now."""


def is_milestone(count: int, now: float, logged_at: float) -> bool:
    """Whether to log the `count`-th consecutive failure; `logged_at`: when one last was."""
    if count <= MILESTONES[-1]:
        return count in MILESTONES
    return now - logged_at >= EVERY_SECONDS


class FailureStreak:
    """Consecutive failures of one operation."""

    def __init__(self, *, calm_seconds: float = 0.0, most_texts: int = MOST_TEXTS) -> None:
        """End a streak only when the operation has worked for `calm_seconds`.

        An operation that fails now and then is one long streak, not a new one each
        time.
        """
        self._calm_seconds = calm_seconds
        self._most_texts = most_texts
        self._count = 0
        self._began_at = self._logged_at = 0.0
        self._worked_at = -inf
        self._is_failing = False
        self.owes_recovery = False
        """Whether a failure was logged and its end was not."""
        self._texts: tuple[int, ...] = ()
        """Hashes, because texts may be long and streaks many."""

    @property
    def is_failing(self) -> bool:
        """Whether the last try failed."""
        return self._is_failing

    @property
    def count(self) -> int:
        """The number of failures in this streak."""
        return self._count

    def fail(self, now: float, text: str = "") -> bool:
        """Count a failure; return whether to log it."""
        if not self._is_failing and now - self._worked_at >= self._calm_seconds:
            self._count, self._began_at = 0, now
            self._texts = ()
        self._is_failing = True
        self._count += 1
        should_log = self._is_new_text(text) or is_milestone(
            self._count, now, self._logged_at
        )
        if should_log:
            self._logged_at, self.owes_recovery = now, True
        return should_log

    def _is_new_text(self, text: str) -> bool:
        key = hash(text)
        if key in self._texts or len(self._texts) >= self._most_texts:
            return False
        self._texts += (key,)
        return True

    def recover(self, now: float) -> Recovered | None:
        """Record a success; return what to log if a logged failure is over."""
        if not self._is_failing:
            return None
        self._is_failing, self._worked_at = False, now
        if not self.owes_recovery:
            return None
        self.owes_recovery = False
        return Recovered(self._count, round(now - self._began_at, 1))
