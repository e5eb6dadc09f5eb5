"""How long to wait before the next try."""

from collections.abc import Callable
from dataclasses import dataclass, replace

Draw = Callable[[float, float], float]
"""Draws a number between two; uniformly, but in a test."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """A retry policy that never changes: each step returns the delay and the next policy.

    The ceiling doubles from `base_seconds` up to `cap_seconds`; the delay is drawn
    uniformly below the ceiling, after capping, so that hosts that failed together spread
    out also when they have all reached the cap.
    """

    base_seconds: float = 1.0
    cap_seconds: float = 60.0
    attempts: int = 0

    @property
    def ceiling_seconds(self) -> float:
        """The longest the next delay can be."""
        doublings = min(self.attempts, 32)  # beyond it any sane cap has been reached
        return min(self.cap_seconds, self.base_seconds * 2.0**doublings)

    def next(self, draw: Draw, *, at_least: float = 0.0) -> tuple[float, "Backoff"]:
        """Return (seconds to wait, the policy after that wait).

        `draw(low, high)` gives a uniform number. `at_least` is a wait the platform asked
        for: it is kept, and up to a fifth is added so that not every host comes back on
        the same second.
        """
        delay = draw(0.0, self.ceiling_seconds)
        if at_least > 0:
            delay = max(delay, draw(at_least, at_least * 1.2))
        return delay, replace(self, attempts=self.attempts + 1)
