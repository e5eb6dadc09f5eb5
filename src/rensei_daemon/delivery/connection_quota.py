"""The places of the credential socket, and how many of them one user or session may take.

Each holds at most half: a member of the socket's group that opens connections without end
leaves the other half to the rest.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

Tell = Callable[[str, str], None]
"""Told whose readers are turned away, and why; an empty reason: no longer."""


class QuotaExceededError(Exception):
    """There is no place left for this reader."""


def ignore(whose: str, why: str) -> None:
    """Tell nobody."""


class ConnectionQuota:
    """Who holds how many places."""

    def __init__(self, most: int, tell: Tell = ignore) -> None:
        self._most = most
        self._share = max(most // 2, 1)
        self._tell = tell
        self._held = Counter[str]()
        self._turned_away: set[str] = set()

    @contextmanager
    def of_user(self, uid: int) -> Iterator[None]:
        """Hold a place for a connection of this user; raises `QuotaExceededError`."""
        with ExitStack() as held:
            held.enter_context(self._holding("all users", self._most))
            held.enter_context(self._holding(f"user {uid}", self._share))
            yield

    @contextmanager
    def of_session(self, session_id: str) -> Iterator[None]:
        """Hold a place among a session's readers; raises `QuotaExceededError`."""
        with self._holding(f"session {session_id}", self._share):
            yield

    @contextmanager
    def _holding(self, whose: str, limit: int) -> Iterator[None]:
        if self._held[whose] >= limit:
            if whose not in self._turned_away:
                self._turned_away.add(whose)
                self._tell(whose, f"holds {limit} of {self._most} places")
            raise QuotaExceededError
        self._held[whose] += 1
        try:
            yield
        finally:
            self._held[whose] -= 1
            # Not at the first free place: it may be taken again in the same moment.
            if whose in self._turned_away and self._held[whose] <= limit // 2:
                self._turned_away.discard(whose)
                self._tell(whose, "")
            if not self._held[whose]:
                del self._held[whose]
