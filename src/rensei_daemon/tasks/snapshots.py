"""One session's snapshots: asked for whenever one is due, one at a time."""

from typing import Protocol

import anyio

from rensei_daemon.core.backoff import Draw
from rensei_daemon.core.counters import EventCounter
from rensei_daemon.core.liveness import Deadlines
from rensei_daemon.core.retry_policy import (
    RETRY,
    SNAPSHOT_SECONDS,
    capped_retry,
    requested_wait,
)
from rensei_daemon.core.session import Session
from rensei_daemon.core.snapshot_schedule import (
    SnapshotIntervals,
    SnapshotReason,
    SnapshotSchedule,
)
from rensei_daemon.errors import PlatformError
from rensei_daemon.platform_api.client import PlatformClient
from rensei_daemon.platform_api.wire import Snapshot
from rensei_daemon.tasks.wake_event import Cycle, WakeEvent


class SnapshotTaker(Protocol):
    """Who the snapshots are for."""

    def snapshot_requested(self) -> None:
        """Note that one is under way."""

    def snapshot_came(self, snapshot: Snapshot) -> None:
        """Apply one, and tell the schedule what it brought."""

    def snapshot_failed(self, error: PlatformError) -> None:
        """Note that it did not come."""


class SnapshotLoop:
    """Asks for snapshots as the schedule has it."""

    def __init__(
        self,
        session: Session,
        taker: SnapshotTaker,
        *,
        client: PlatformClient,
        pace: SnapshotIntervals,
        draw: Draw,
        deadlines: Deadlines,
        outcomes: EventCounter,
    ) -> None:
        self.schedule = SnapshotSchedule(pace, draw, anyio.current_time())
        self.turn = Cycle()
        """Turns with every snapshot, good or bad."""
        self.error: PlatformError | None = None
        """What the last snapshot failed with."""
        self._session, self._taker = session, taker
        self._client, self._pace, self._draw = client, pace, draw
        self._deadlines, self._outcomes = deadlines, outcomes
        self._changed = WakeEvent()
        self._retry = RETRY

    def want(self, reason: SnapshotReason) -> None:
        """Have one taken as soon as its reason allows."""
        self.schedule.want(reason, anyio.current_time())
        self._changed.set()

    def look_again(self) -> None:
        """Have the schedule looked at: it has been told of something."""
        self._changed.set()

    async def run(self) -> None:
        """Take them until cancelled."""
        while True:
            while (wait := self.schedule.wait_seconds(anyio.current_time())) > 0:
                self._promise(wait)
                await self._changed.wait(within=wait)
            reason = self.schedule.begin(anyio.current_time())
            self._promise(0.0)
            self.turn.begin()
            outcome = await self._take()
            self._outcomes.increment(self._session.id, reason, outcome)
            self.turn.end()

    async def _take(self) -> str:
        self._taker.snapshot_requested()
        try:
            snapshot = await self._client.snapshot(self._session)
        except PlatformError as error:
            self.error = error
            self._retry = capped_retry(error, self._retry)
            asked = requested_wait(error, self._pace.slow_poll_seconds)
            delay, self._retry = self._retry.next(self._draw, at_least=asked)
            self.schedule.fail(anyio.current_time(), delay, asked_seconds=asked)
            self._taker.snapshot_failed(error)
            return error.failure
        self.error, self._retry = None, RETRY
        self._taker.snapshot_came(snapshot)
        return "ok"

    def _promise(self, wait: float) -> None:
        until = anyio.current_time() + wait + SNAPSHOT_SECONDS
        self._deadlines.set(f"snapshots of {self._session.id}", until)
