"""How long to wait before the next try."""

from collections.abc import Callable

from rensei_daemon.fast_dataclass import dataclass, replace

Draw = Callable[[float, float], float]
"""Draw a number between two, uniformly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """An immutable retry policy: each step returns the delay and the next policy.

    The ceiling doubles from `base_seconds` to `cap_seconds`. The delay is drawn
    uniformly below the capped ceiling, so hosts that failed together spread out even at
    the cap.
    """

    base_seconds: float = 1.0
    cap_seconds: float = 60.0
    attempts: int = 0

    @property
    def ceiling_seconds(self) -> float:
        """The longest possible next delay."""
        doublings = min(self.attempts, 32)  # every sane cap is below it
        return min(self.cap_seconds, self.base_seconds * 2.0**doublings)

    def next(self, draw: Draw, *, at_least: float = 0.0) -> tuple[float, "Backoff"]:
        """Return (seconds to wait, the policy after that wait).

        `draw(low, high)` returns a uniform number. `at_least` is a wait the
        platform asked for; up to a fifth is added, so that not every host returns
        in the same second.
        """
        delay = draw(0.0, self.ceiling_seconds)
        if at_least > 0:
            delay = max(delay, draw(at_least, at_least * 1.2))
        return delay, replace(self, attempts=self.attempts + 1)
