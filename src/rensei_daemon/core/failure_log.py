"""When a failure that repeats is told again.

At once the first time; then the 10th and the 100th time, and from there every five
minutes, always with the count. A caller keeps one `FailureStreak` per operation and asks
it; the other failures are for the debug level. Times are monotonic seconds and arrive.

What failed may say something else each time: a new cause, which is news, or the old one
with another number in it, which is not. Nobody can tell the two apart for sure, so a
few new texts in a streak are told at once, and after them only the count decides.
"""

from dataclasses import dataclass
from math import inf

MILESTONES = (1, 10, 100)
EVERY_SECONDS = 300.0
MOST_TEXTS = 5
"""How many texts in one streak are news; what varies without end is soon as good as one."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """What is over."""

    count: int
    """How often it failed."""
    seconds: float
    """From the first failure until now."""


def is_milestone(count: int, now: float, logged_at: float) -> bool:
    """Whether to log the `count`-th consecutive failure; `logged_at`: when one last was."""
    if count <= MILESTONES[-1]:
        return count in MILESTONES
    return now - logged_at >= EVERY_SECONDS


class FailureStreak:
    """One thing that fails, and fails again, until it works."""

    def __init__(self, *, calm_seconds: float = 0.0, most_texts: int = MOST_TEXTS) -> None:
        """Have a streak end only when it has worked for `calm_seconds`.

        Something that comes and goes is one long trouble, not a new one each time.
        """
        self._calm_seconds = calm_seconds
        self._most_texts = most_texts
        self._count = 0
        self._began_at = self._logged_at = 0.0
        self._worked_at = -inf
        self._is_failing = False
        self.owes_recovery = False
        """Whether a failure was told, and its end was not."""
        self._texts: set[int] = set()
        """Hashes: a text may be long, and there may be many streaks."""

    @property
    def is_failing(self) -> bool:
        """Whether it failed when last tried."""
        return self._is_failing

    @property
    def count(self) -> int:
        """How often it has failed in this streak."""
        return self._count

    def fail(self, now: float, text: str = "") -> bool:
        """Count a failure; whether to tell of it."""
        if not self._is_failing and now - self._worked_at >= self._calm_seconds:
            self._count, self._began_at = 0, now
            self._texts.clear()
        self._is_failing = True
        self._count += 1
        should_log = self._is_new_text(text) or is_milestone(
            self._count, now, self._logged_at
        )
        if should_log:
            self._logged_at, self.owes_recovery = now, True
        return should_log

    def happen(self, now: float, text: str = "") -> bool:
        """Count what happens without anything that works in between; whether to tell."""
        should_log = self.fail(now, text)
        self.recover(now)
        return should_log

    def _is_new_text(self, text: str) -> bool:
        key = hash(text)
        if key in self._texts or len(self._texts) >= self._most_texts:
            return False
        self._texts.add(key)
        return True

    def recover(self, now: float) -> Recovered | None:
        """Note that it works; what to tell, when a failure was told and it is over."""
        if not self._is_failing:
            return None
        self._is_failing, self._worked_at = False, now
        if not self.owes_recovery:
            return None
        self.owes_recovery = False
        return Recovered(self._count, round(now - self._began_at, 1))
