"""The loop of one session's rotate stream: opens it, and reopens it when it ends."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext

import anyio

from rensei_daemon.clock import CLOCK
from rensei_daemon.conditions.sessions import SessionFailures
from rensei_daemon.core.health import StreamHealth, StreamState
from rensei_daemon.core.retry_policy import is_not_found
from rensei_daemon.core.session_values import StreamUpdate
from rensei_daemon.errors import PlatformError
from rensei_daemon.platform_api.reconnector import Reconnector
from rensei_daemon.platform_api.stream import (
    EventStream,
    FirstByte,
    MutationsWaiting,
    UnusableEvent,
)
from rensei_daemon.tasks.snapshots import SessionContext, SnapshotLoop
from rensei_daemon.wake_event import WakeEvent

MUTE_SECONDS = 60.0
"""How long nothing may come over a stream that is believed to deliver what is new."""


class StreamLoop:
    """Keeps a session's stream open, and informs the snapshots of its state."""

    def __init__(
        self,
        session_id: str,
        snapshots: SnapshotLoop,
        failures: SessionFailures,
        context: SessionContext,
        *,
        on_event: Callable[[StreamUpdate | UnusableEvent, float], None],
        on_change: Callable[[StreamHealth], None],
    ) -> None:
        """`on_event` is called with each event and its arrival time."""
        self._session_id = session_id
        self._snapshots = snapshots
        self._failures = failures
        self._on_event, self._on_change = on_event, on_change
        self._on_answer = context.on_answer
        self._client = context.client
        self._mutation_events = context.mutation_events
        self._ends = context.counters.streams
        self._reconnector = Reconnector(
            context.draw, not_found_seconds=context.pace.slow_poll_seconds
        )
        self._reconnect = WakeEvent()
        self._open_stream: EventStream | None = None
        self.line = StreamHealth(since=CLOCK.now())

    def retry_now(self) -> None:
        """Open the stream at once, whatever it waits for."""
        self._reconnect.set()

    def platform_answers(self) -> None:
        """Open the stream at once, unless the platform asked for the wait."""
        if not self._reconnector.is_asked:
            self._reconnect.set()

    def has_missed(self) -> None:
        """Note that a snapshot brought what is new: no byte of the stream had announced it.

        If nothing has come for a while, a proxy may hold it back. Polls then continue until
        the next byte, as they do until the first one.
        """
        stream, now = self._open_stream, anyio.current_time()
        if stream is None or now - stream.last_heard < MUTE_SECONDS:
            return
        if self.line.state is StreamState.LIVE:
            stream.expect_first_byte()
            self._snapshots.schedule.stream_is_silent(now)
            self._show(StreamState.SILENT)

    async def run(self) -> None:
        """Keep the stream open until cancelled."""
        while True:
            opened: float | None = None
            stream: EventStream | None = None
            failure: PlatformError | None = None
            try:
                async with self._open() as stream:
                    opened = anyio.current_time()
                    self._open_stream = stream
                    await self._listen(stream)
            except PlatformError as error:
                failure = error
            self._open_stream = None
            wait = self._ended(opened, stream, failure)
            await self._reconnect.wait(within=wait)

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[EventStream]:
        worker_id = self._mutation_events.worker_id
        async with self._client.stream(self._session_id, worker_id=worker_id) as stream:
            with self._mutation_events.session_stream() if worker_id else nullcontext():
                yield stream

    async def _listen(self, stream: EventStream) -> None:
        self._snapshots.schedule.stream_connected(anyio.current_time())
        self._snapshots.look_again()
        self._show(StreamState.SILENT)
        self._failures.stream_connected()
        self._on_answer()
        async for event in stream:
            if isinstance(event, FirstByte):
                self._snapshots.schedule.stream_is_live()
                self._show(StreamState.LIVE)
            elif isinstance(event, MutationsWaiting):
                self._mutation_events.arrived()
            else:
                self._on_event(event, stream.last_heard)

    def _ended(
        self, opened: float | None, stream: EventStream | None, error: PlatformError | None
    ) -> float:
        """Handle the end of a stream; return the seconds until the next attempt."""
        lived = None if opened is None else anyio.current_time() - opened
        wait = self._reconnector.wait_after(
            stream,
            error,
            lived_seconds=lived,
            has_delivered=self.line.state is StreamState.LIVE,
        )
        self._note_end(error, lived)
        return wait

    def _note_end(self, error: PlatformError | None, lived: float | None) -> None:
        """Report the end; `lived` is None if the stream could not be opened."""
        schedule = self._snapshots.schedule
        failure = error.failure if error else None
        self._ends.increment(self._session_id, failure or "age")
        self._failures.stream_ended(error, seconds=lived)
        if is_not_found(error):
            schedule.stream_refused()
        if lived is not None:
            self._reconnect = WakeEvent()  # earlier requests are done
            self.line = self.line.with_end(CLOCK.now(), lived)
            schedule.stream_lost(anyio.current_time())
            self._snapshots.look_again()
        self.line = self.line.with_failure(failure)
        self._on_change(self.line)

    def _show(self, state: StreamState) -> None:
        self.line = self.line.with_state(state, CLOCK.now())
        self._on_change(self.line)
