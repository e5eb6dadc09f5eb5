"""Whether a platform sends more mutations than a host could ever have use for."""

from collections import deque

FLOOD = 20_000
"""New mutations within the hour; ten thousand projects have not that many."""
HOUR = 3600.0


class FloodMeter:
    """Counts what is new; times are monotonic seconds."""

    def __init__(self) -> None:
        self._received: deque[tuple[float, int]] = deque()
        self._had_to_forget_at = -HOUR

    def note(self, new: int, *, had_to_forget: bool, now: float) -> None:
        """Note an answer's new mutations, and whether older ones had to make room."""
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
        """Whether it is too much: by their number, or by the room they took."""
        return self.count(now) > FLOOD or now - self._had_to_forget_at < HOUR
