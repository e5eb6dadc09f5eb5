"""One session's credentials: kept fresh, swapped whole, handed over at once.

::

    snapshots ─┐                                   ┌─▶ delivery (env file, …)
               ├─▶ values ─▶ next generation ──────┼─▶ delivery
    stream  ───┘   (memory only, sole writer)      └─▶ …

Three lanes run for as long as the session exists. The stream says what changed, or that
something did. The snapshots are the truth, and make good whatever a stream missed: one
is taken at the start, after every connect, for every event nobody understood, when the
last one grows old, and on a clock while there is no stream. The outlets hand
every new generation on.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import anyio
import structlog

from rensei_daemon.core.backoff import Draw
from rensei_daemon.core.board import Board
from rensei_daemon.core.credential import Credentials, accept, difference
from rensei_daemon.core.figures import SessionFigures
from rensei_daemon.core.lines import SessionLine, StreamState
from rensei_daemon.core.pulse import Pulse
from rensei_daemon.core.session import Session
from rensei_daemon.delivery.consumer import Delivery
from rensei_daemon.errors import PlatformError, TransientError
from rensei_daemon.platform_api.client import PlatformClient
from rensei_daemon.platform_api.stream import EventStream, Unusable, Update
from rensei_daemon.tasks.afterwards import Afterwards
from rensei_daemon.tasks.bell import Bell, Turn
from rensei_daemon.tasks.outlets import Outlets
from rensei_daemon.tasks.pace import (
    EARLY_SECONDS,
    PACE,
    RETRY,
    SNAPSHOT_SECONDS,
    Pace,
    lane,
)
from rensei_daemon.tasks.refusals import Refusals, has_nothing
from rensei_daemon.tasks.schedule import Schedule


class Rotation:
    """One session, from the platform to its deliveries."""

    def __init__(
        self,
        session: Session,
        deliveries: Sequence[Delivery],
        *,
        client: PlatformClient,
        board: Board,
        pulse: Pulse,
        draw: Draw,
        afterwards: Afterwards,
        pace: Pace = PACE,
        learn: Callable[[Iterable[str]], None] = lambda _: None,
        figures: SessionFigures | None = None,
    ) -> None:
        """`learn` is told every value that arrives, for whoever must know it by sight."""
        self._figures = figures or SessionFigures()
        self.session = session
        self._pace = pace
        self.credentials = Credentials()
        self.changed_at: dict[str, datetime] = {}
        """When each variable's value last became another."""
        self.outlets = Outlets(deliveries, session.id, board, draw, self._figures)
        self._client, self._board = client, board
        self._draw, self._pulse = draw, pulse
        self._learn, self._afterwards = learn, afterwards
        self._log = structlog.get_logger().bind(session_id=session.id)

        now = datetime.now(UTC)
        self._line = SessionLine(id=session.id, since=now, added_at=now)

        self._refusals = Refusals(session.id, board, calm_seconds=pace.steady_seconds)
        self._reconsider = Bell()
        self._reconnect, self._is_told_to_wait = Bell(), False
        self._schedule = Schedule(pace, draw)
        self.snapshot_turn = Turn()
        """Turns with every snapshot, good or bad."""
        self.snapshot_error: PlatformError | None = None
        """What the last snapshot failed with."""
        self._arrived_in_flight: dict[str, str] | None = None
        """What the stream said while a snapshot was on its way; None: none is."""

    @property
    def refreshed_at(self) -> datetime | None:
        """When data was last applied."""
        return self._line.refreshed_at

    async def run(self) -> None:
        """Keep the session until cancelled."""
        self._post()
        id_, note_later = self.session.id, partial(self._afterwards.do, self._account)
        async with anyio.create_task_group() as lanes:
            lanes.start_soon(self._keep_snapshots, name=f"snapshots of {id_}")
            lanes.start_soon(self._keep_stream, name=f"stream of {id_}")
            lanes.start_soon(self.outlets.keep, note_later, name=f"outlets of {id_}")

    async def withdraw(
        self, kept: Collection[tuple[str, str]] = (), *, is_over: bool = True
    ) -> None:
        """Take back what was delivered, but for the outlets that somebody carries on.

        `is_over`: the session has no successor.
        """
        self._afterwards.drop(self._account)
        if is_over:
            self._pulse.retire(f"snapshots of {self.session.id}")
        await self.outlets.withdraw(kept)

    def want_snapshot(self, reason: str = "event") -> None:
        """Have a snapshot taken now, or after a failure as soon as its wait is over."""
        self._schedule.want(reason)
        self._reconsider.ring()

    def hurry(self) -> None:
        """Have snapshot and stream tried at once, whatever they wait for."""
        self._schedule.want("asked", at_once=True)
        self._reconsider.ring()
        self._reconnect.ring()

    def platform_recovered(self) -> None:
        """Take the snapshot that failed now, unless the platform asked for a wait.

        The stream follows once it has come.
        """
        error = self.snapshot_error
        asks_to_wait = isinstance(error, TransientError) and error.retry_after
        if error is not None and not asks_to_wait:
            self._schedule.want("asked", at_once=True)
            self._reconsider.ring()

    # -- snapshots --

    async def _keep_snapshots(self) -> None:
        retry, count = RETRY, self._figures.snapshots.add
        while True:
            while (wait := self._schedule.wait_seconds) > 0:
                self._promise(wait)
                await self._reconsider.heard(within=wait)
            reason = self._schedule.begin()
            self._promise(0.0)
            self.snapshot_turn.begin()
            try:
                await self._take_snapshot()
            except PlatformError as error:
                self.snapshot_error = error
                count(self.session.id, reason, error.failure)
                self._post(snapshot_failure=error.failure)
                self._refusals.snapshot_failed(error)
                retry = lane(error, retry)
                asked = self._asked_wait(error)
                delay, retry = retry.next(self._draw, at_least=asked)
                self._schedule.fail(delay, asked_seconds=asked)
            else:
                if self.snapshot_error is not None and not self._is_told_to_wait:
                    self._reconnect.ring()  # it answers again: the stream need not wait
                count(self.session.id, reason, "ok")
                retry, self.snapshot_error = RETRY, None
                self._refusals.snapshot_came()
            self.snapshot_turn.done()

    async def _take_snapshot(self) -> None:
        self._arrived_in_flight = {}
        try:
            snapshot = await self._client.snapshot(self.session)
            # The stream may have overtaken the snapshot, or been overtaken by it. What it
            # said stands for now, and another snapshot tells which was newer.
            overtaken = self._arrived_in_flight
        finally:
            self._arrived_in_flight = None
        if overtaken:
            self._schedule.want("overtaken")
        self._schedule.succeed(snapshot.refresh_in_seconds)
        until = None
        if snapshot.refresh_until is not None:
            # By our own clock, so that a skewed one cannot make good data look old.
            seconds = snapshot.refresh_in_seconds + EARLY_SECONDS
            until = datetime.now(UTC) + timedelta(seconds=seconds)
        self._learn(snapshot.env.values())
        accepted = accept(snapshot.env)
        self._line = replace(
            self._line,
            refresh_until=until,
            dropped_names=tuple(sorted({*accepted.dropped, *snapshot.dropped})),
        )
        newest = self.credentials.replaced({**accepted.env, **overtaken})
        self._swap(newest, "snapshot", anyio.current_time())
        self._post(snapshot_failure=None)

    def _promise(self, wait: float) -> None:
        until = anyio.current_time() + wait + SNAPSHOT_SECONDS
        self._pulse.promise(f"snapshots of {self.session.id}", until)

    # -- stream --

    async def _keep_stream(self) -> None:
        retry = RETRY
        while True:
            opened = anyio.current_time()
            stream: EventStream | None = None
            failure: PlatformError | None = None
            try:
                async with self._client.stream(self.session.id) as stream:
                    await self._listen(stream)
            except PlatformError as error:
                failure = error
                retry = lane(error, retry)
            self._stream_lost(failure)
            at_least = max(
                self._asked_wait(failure), (stream and stream.retry_seconds) or 0.0
            )
            if anyio.current_time() - opened >= self._pace.steady_seconds:
                retry = RETRY
            delay, retry = retry.next(self._draw, at_least=at_least)
            self._is_told_to_wait = at_least > 0
            await self._reconnect.heard(within=delay)

    async def _listen(self, stream: EventStream) -> None:
        self._schedule.stream_is_up()
        self._reconnect = Bell()  # what was rung until now has been obeyed
        self._reconsider.ring()
        self._set_stream(StreamState.LIVE)
        self._refusals.stream_connected()
        async for event in stream:
            if isinstance(event, Update):
                self._update(event.delta, stream.last_heard)
                if not event.is_whole:
                    self.want_snapshot()
            elif isinstance(event, Unusable):
                self._refusals.event_not_understood(event.reason)
                self.want_snapshot()

    def _stream_lost(self, error: PlatformError | None) -> None:
        was_live = self._line.stream is StreamState.LIVE
        if was_live:
            self._set_stream(StreamState.INTERRUPTED)
        failure = error.failure if error else None
        self._figures.streams.add(self.session.id, failure or "age")
        self._post(stream_failure=failure)
        if has_nothing(error):
            self._schedule.stream_is_refused()
        self._refusals.stream_ended(error, was_live=was_live)
        if was_live:
            self._schedule.stream_is_lost()
            self._reconsider.ring()

    def _asked_wait(self, error: PlatformError | None) -> float:
        """Return how long we were asked to wait; where there is nothing, a long rest."""
        if has_nothing(error):
            return self._pace.slow_poll_seconds
        return (error.retry_after or 0.0) if isinstance(error, TransientError) else 0.0

    def _set_stream(self, state: StreamState) -> None:
        self._post(stream=state, since=datetime.now(UTC), stream_failure=None)

    # -- values --

    def _update(self, delta: Mapping[str, str], arrived_at: float) -> None:
        self._learn(delta.values())
        accepted = accept(delta)
        if accepted.dropped:
            if not self.credentials.env.keys().isdisjoint(accepted.dropped):
                self.want_snapshot()  # what it meant to replace must not just stay
            names = {*self._line.dropped_names, *accepted.dropped}
            self._line = replace(self._line, dropped_names=tuple(sorted(names)))
        if self._arrived_in_flight is not None:
            self._arrived_in_flight.update(accepted.env)
        if self.credentials.generation == 0:
            # A delta alone is not the session's values; the snapshot under way is.
            self.want_snapshot()
        else:
            self._swap(self.credentials.updated(accepted.env), "stream", arrived_at)

    def _swap(self, credentials: Credentials, source: str, arrived_at: float) -> None:
        before, self.credentials = self.credentials, credentials
        now = datetime.now(UTC)
        if credentials is not before:
            self.outlets.offer(credentials, arrived_at)
            names = difference(before, credentials).names
            self.changed_at.update(dict.fromkeys(names, now))
            generation = credentials.generation
            log = self._log.bind(generation=generation, names=names, source=source)
            self._afterwards.do(lambda: log.info("credentials.changed"))
        self._line = replace(
            self._line,
            generation=credentials.generation,
            refreshed_at=now,
            names=tuple(sorted(credentials.env)),
        )
        self._afterwards.do(self._account)

    def _account(self) -> None:
        """Say what has come of the values and of their deliveries."""
        self._post()
        self.outlets.tell()

    def _post(self, **news: Any) -> None:
        self._line = replace(self._line, consumers=self.outlets.consumers, **news)
        self._board.post(self._line)
