"""When a session's next snapshot is due.

It is told what happened and says how long to wait; it waits for nothing itself, and
knows neither the platform nor the values. Times are the loop's own, in seconds.
"""

import anyio

from rensei_daemon.core.backoff import Draw
from rensei_daemon.tasks.pace import EVENT_SECONDS, Pace


class Schedule:
    """The reasons for a snapshot, and the earliest of their times."""

    def __init__(self, pace: Pace, draw: Draw) -> None:
        self._pace = pace
        self._draw = draw
        self._wanted_for: str | None = "start"
        self._is_retry = False
        self._is_live = False
        self._is_refused = False
        self._down_since = anyio.current_time()
        self._not_before = 0.0
        """However much it is wanted: the last one failed."""
        self._next_refresh = 0.0
        self._next_poll = 0.0

    @property
    def wait_seconds(self) -> float:
        """How long until a snapshot is due; not positive when one is."""
        due = self._next_refresh
        if not self._is_live:
            due = min(due, self._next_poll)
        if self._wanted_for is not None:
            due = self._not_before
        return due - anyio.current_time()

    def want(self, reason: str, *, at_once: bool = False) -> None:
        """Have one taken now, or, unless `at_once`, when the wait of a failure is over."""
        self._wanted_for = reason
        if at_once:
            self._not_before = 0.0

    def begin(self) -> str:
        """Note that one is being taken; return why.

        `start`, `connect`, `event`, `overtaken` or `asked`: it was wanted; `retry`: the
        last one failed; `poll`: there is no stream; `refresh`: the last one grew old.
        """
        reason, self._wanted_for = self._wanted_for, None
        if reason is not None:
            return reason
        if self._is_retry:
            return "retry"
        is_poll = not self._is_live and self._next_poll <= self._next_refresh
        return "poll" if is_poll else "refresh"

    def succeed(self, refresh_in_seconds: float) -> None:
        """Note that it came, and how long it is good for."""
        self._is_retry = False
        self._next_refresh = anyio.current_time() + refresh_in_seconds
        self._plan_poll()

    def fail(self, delay_seconds: float, *, asked_seconds: float) -> None:
        """Note that it did not; `asked_seconds` is a wait the platform asked for."""
        now = anyio.current_time()
        self._is_retry = True
        # Both, or a poll that is due would ask a platform that is down without end.
        self._next_refresh = self._next_poll = now + max(delay_seconds, 0.5)
        self._not_before = now + max(asked_seconds, EVENT_SECONDS)

    def stream_is_up(self) -> None:
        """Note that rotations arrive by themselves, and one snapshot is wanted."""
        self._is_live, self._is_refused = True, False
        self.want("connect")

    def stream_is_lost(self) -> None:
        """Note that rotations do not arrive any more."""
        self._is_live, self._down_since = False, anyio.current_time()
        self._plan_poll()

    def stream_is_refused(self) -> None:
        """Note that the platform has no stream for this session."""
        self._is_refused = True

    def _plan_poll(self) -> None:
        now, pace = anyio.current_time(), self._pace
        is_slow = self._is_refused or now - self._down_since >= pace.long_down_seconds
        seconds = pace.slow_poll_seconds if is_slow else pace.poll_seconds
        self._next_poll = now + seconds * self._draw(0.8, 1.0)
