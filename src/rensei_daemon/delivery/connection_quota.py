"""How many connections of the credential socket one user or session may hold.

Each may hold at most half: a member of the socket's group that opens connections without
end leaves the other half to the others.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

Report = Callable[[str, str], None]
"""Called with whose readers are refused and why; an empty reason means no longer."""


class QuotaExceededError(Exception):
    """There is no free connection for this reader."""


def ignore(whose: str, why: str) -> None:
    """Ignore the report."""


class ConnectionQuota:
    """The connections that users and sessions hold."""

    def __init__(self, most: int, report: Report = ignore) -> None:
        self._most = most
        self._share = max(most // 2, 1)
        self._report = report
        self._held = Counter[str]()
        self._turned_away: set[str] = set()

    @contextmanager
    def of_user(self, uid: int) -> Iterator[None]:
        """Hold a connection of this user; raises `QuotaExceededError`."""
        with ExitStack() as held:
            held.enter_context(self._holding("all users", self._most))
            held.enter_context(self._holding(f"user {uid}", self._share))
            yield

    @contextmanager
    def of_session(self, session_id: str) -> Iterator[None]:
        """Hold a connection of a session's reader; raises `QuotaExceededError`."""
        with self._holding(f"session {session_id}", self._share):
            yield

    @contextmanager
    def _holding(self, whose: str, limit: int) -> Iterator[None]:
        if self._held[whose] >= limit:
            if whose not in self._turned_away:
                self._turned_away.add(whose)
                self._report(whose, f"holds {limit} of {self._most} places")
            raise QuotaExceededError
        self._held[whose] += 1
        try:
            yield
        finally:
            self._held[whose] -= 1
            # Not at the first free connection: it may be taken again at once.
            if whose in self._turned_away and self._held[whose] <= limit // 2:
                self._turned_away.discard(whose)
                self._report(whose, "")
            if not self._held[whose]:
                del self._held[whose]
