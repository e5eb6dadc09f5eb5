"""Detect that a platform sends more mutations than a host can use."""

from collections import deque

FLOOD = 20_000
"""New mutations within an hour; ten thousand projects cause fewer."""
HOUR = 3600.0


class FloodMeter:
    """Count new mutations; times are monotonic seconds."""

    def __init__(self) -> None:
        self._received: deque[tuple[float, int]] = deque()
        self._had_to_forget_at = -HOUR

    def note(self, new: int, *, had_to_forget: bool, now: float) -> None:
        """Record an answer's new mutations, and whether old ones were deleted for them."""
        if new:
            self._received.append((now, new))
        if had_to_forget:
            self._had_to_forget_at = now

    def count(self, now: float) -> int:
        """Return how many came within the last hour."""
        while self._received and now - self._received[0][0] >= HOUR:
            self._received.popleft()
        return sum(new for _, new in self._received)

    def is_flooded(self, now: float) -> bool:
        """Whether they are too many, by number or by size."""
        return self.count(now) > FLOOD or now - self._had_to_forget_at < HOUR
