"""One connection to the rotate stream, as an iterator of its updates.

It never reconnects: its user decides what to do when it ends.
"""

import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from rensei_daemon.core.session_values import StreamUpdate
from rensei_daemon.core.sse import ServerEvent
from rensei_daemon.errors import RefusedError, TransientError
from rensei_daemon.fast_dataclass import dataclass
from rensei_daemon.platform_api.event_reader import EventReader, StreamLimits
from rensei_daemon.platform_api.gzip_decoder import GzipDecoder, decoder_for
from rensei_daemon.platform_api.http import NETWORK_ERRORS, Http
from rensei_daemon.platform_api.json_fields import JsonFields, timestamp
from rensei_daemon.platform_api.responses import media_type
from rensei_daemon.platform_api.transport import body_of, connection_of

ROTATE_STREAM = "/api/daemon/credentials/rotate-stream"


@dataclass(frozen=True, slots=True)
class UnusableEvent:
    """An event that cannot be used; a new snapshot is needed."""

    reason: str


@dataclass(frozen=True, slots=True)
class FirstByte:
    """The first byte has arrived; returned once, before everything else."""


@dataclass(frozen=True, slots=True)
class MutationsWaiting:
    """A mutation waits for this host: it is to send a heartbeat."""


StreamEvent = FirstByte | StreamUpdate | UnusableEvent | MutationsWaiting


class EventStream:
    """The events of one connection, in order; it ends without an error at its age limit."""

    def __init__(self, http: Http, bearer: str, reader: EventReader) -> None:
        self._http = http
        self._bearer = bearer
        self._reader = reader
        self._is_told = False
        """Whether the arrival of the first byte was returned."""

    @property
    def last_heard(self) -> float:
        """When the last byte arrived, keepalives included (`anyio.current_time`)."""
        return self._reader.last_heard

    @property
    def retry_seconds(self) -> float | None:
        """The platform's delay before a reconnect, 0 to 60 s."""
        asked = self._reader.retry_milliseconds
        return None if asked is None else min(asked, 60_000) / 1000

    def expect_first_byte(self) -> None:
        """Return the arrival of the next byte as if it were the first."""
        self._is_told = self._reader.has_begun = False

    def __aiter__(self) -> AsyncIterator[StreamEvent]:
        """Iterate over the next events."""
        return self

    async def __anext__(self) -> StreamEvent:
        """Wait for the next event with content.

        Raises `TransientError` when the stream ends, breaks, stalls or overflows.
        """
        try:
            return await self._next()
        except NETWORK_ERRORS as error:
            raise self._http.translated(error, (self._bearer,)) from None

    async def _next(self) -> StreamEvent:
        while True:
            if self._reader.has_begun and not self._is_told:
                self._is_told = True
                return FirstByte()
            raw = await self._reader.next_read()
            if raw is None:
                if not await self._reader.read():
                    raise StopAsyncIteration
                continue
            event = parse_event(raw)
            if event is not None:
                return event
            self._reader.note_keepalive()


@asynccontextmanager
async def open_stream(
    http: Http,
    session_id: str,
    bearer: str,
    *,
    worker_id: str | None = None,
    limits: StreamLimits | None = None,
    max_age_seconds: float | None = None,
) -> AsyncIterator[EventStream]:
    """Connect to the rotate stream of a session.

    `worker_id` has it announce the worker's mutations as well, where that was offered.

    Raises `RefusedError` (403, 404, another 4xx, and 204: nothing to stream),
    `UnauthorizedError` (401, a redirect) or `TransientError`. The stream ends at
    `max_age_seconds`, by default after 60 minutes ± 20 %.
    """
    if max_age_seconds is None:
        max_age_seconds = random.uniform(48 * 60, 72 * 60)  # noqa: S311 - spreads load
    query = {"sessionId": session_id}
    if worker_id is not None:
        query["workerId"] = worker_id
    async with http.stream(ROTATE_STREAM, bearer=bearer, query=query) as response:
        reader = EventReader(
            body_of(response),
            limits or StreamLimits(),
            max_age_seconds=max_age_seconds,
            decoder=_check(http, response),
        )
        with http.dead_peers.watching(connection_of(response), reader.give_up):
            yield EventStream(http, bearer, reader)


def _check(http: Http, response: httpx.Response) -> GzipDecoder | None:
    """Return the decoder of the stream; raise an error if the response is no stream."""
    if response.status_code == 204:
        detail = "nothing to stream for this session"
        raise RefusedError(f"{http.host}: {detail}", status=204, detail=detail)
    found = media_type(response.headers)
    if found in {"text/html", "application/xhtml+xml"}:
        raise TransientError(
            f"{http.host} answered with an HTML page instead of a stream",
            hint="a captive portal or a proxy stands between this host and the platform",
        )
    if found != "text/event-stream":
        raise TransientError(f"{http.host} answered with something that is no event stream")
    try:
        return decoder_for(response.headers)
    except ValueError:
        raise TransientError(
            f"{http.host} compressed the stream with an encoding that was not requested"
        ) from None


def parse_event(event: ServerEvent) -> StreamEvent | None:
    """Return what an event says; None for nothing.

    A payload is `{"delta": {…}}` or `{"env": {…}}`. Values that are not text are omitted;
    if none is left, a new snapshot is needed. An unnamed event of another type (such as a
    keepalive) or without data says nothing.
    """
    if not event.is_readable:
        return UnusableEvent("the event is not UTF-8")
    if event.name == "MUTATIONS":
        return MutationsWaiting()
    is_named = event.name == "UPDATE"
    if not is_named and (event.name != "message" or not event.data):
        return None
    try:
        payload = json.loads(event.data or "")
    except (ValueError, RecursionError):
        return UnusableEvent("the event is not JSON")
    if not isinstance(payload, dict):
        return UnusableEvent("the event is not an object")
    kind = payload.get("type")
    if not is_named and isinstance(kind, str) and kind != "UPDATE":
        return None
    fields = JsonFields(payload)
    found = [payload[key] for key in ("delta", "env") if isinstance(payload.get(key), dict)]
    values = found[0] if found else {}
    delta = {key: value for key, value in values.items() if isinstance(value, str)}
    if not delta:
        return UnusableEvent("the event carries no values")
    return StreamUpdate(
        delta,
        is_whole=len(delta) == len(values),
        rotated_at=timestamp(fields.text("rotatedAt")),
        version=fields.version("version"),
        previous_version=fields.version("previousVersion"),
    )
