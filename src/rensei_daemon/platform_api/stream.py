"""One connection to the rotate-stream, as an iterator of values; it never reconnects.

It owns what a stream may cost (size, time, silence) and what its events mean. It knows
neither snapshots nor backoff: whoever holds the stream decides what to do when it ends.
"""

import json
import random
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field

import httpx
from httpx_sse import EventSource, ServerSentEvent

from rensei_daemon.errors import RefusedError, TransientError
from rensei_daemon.platform_api.http import Http
from rensei_daemon.platform_api.transport import connection_of
from rensei_daemon.platform_api.watch import StreamLimits, WatchedBytes

ROTATE_STREAM = "/api/daemon/credentials/rotate-stream"


@dataclass(frozen=True, slots=True)
class Update:
    """Values that changed."""

    delta: Mapping[str, str] = field(repr=False)
    is_whole: bool = True
    """False: it spoke of more names, whose values were no text."""


@dataclass(frozen=True, slots=True)
class Unusable:
    """Something changed, but not in words we understand: take a new snapshot."""

    reason: str


StreamEvent = Update | Unusable


class EventStream:
    """The events of one connection, in order; ends normally only when it grows too old."""

    def __init__(
        self,
        http: Http,
        bearer: str,
        watched: WatchedBytes,
        events: AsyncGenerator[ServerSentEvent, None],
    ) -> None:
        self._http = http
        self._bearer = bearer
        self._watched = watched
        self._events = events
        self.retry_seconds: float | None = None
        """How long the platform wants us to wait before we reconnect, 0 to 60 s."""

    @property
    def last_heard(self) -> float:
        """When the last byte came in, keepalives included (`anyio.current_time`)."""
        return self._watched.last_heard

    def __aiter__(self) -> AsyncIterator[StreamEvent]:
        """Iterate over the events still to come."""
        return self

    async def __anext__(self) -> StreamEvent:
        """Wait for the next event that says something.

        Raises `TransientError` when the stream ends, breaks, stalls or overflows.
        """
        while True:
            with self._http.border((self._bearer,)):
                raw = await anext(self._events)
            if raw.retry is not None:
                self.retry_seconds = min(max(raw.retry, 0), 60_000) / 1000
            event = understand(raw.event, raw.data)
            if event is not None:
                return event
            if raw.data or raw.event != "message":
                self._watched.note_keepalive()


@asynccontextmanager
async def open_stream(
    http: Http,
    session_id: str,
    bearer: str,
    *,
    limits: StreamLimits | None = None,
    max_age_seconds: float | None = None,
) -> AsyncIterator[EventStream]:
    """Connect to the rotate-stream of a session and hand out its events.

    Raises `RefusedError` (403, 404, another 4xx, and 204: nothing to stream),
    `UnauthorizedError` (401, a redirect) or `TransientError`. The stream ends by itself
    at `max_age_seconds`, 60 minutes ± 20 % unless told.
    """
    if max_age_seconds is None:
        max_age_seconds = random.uniform(48 * 60, 72 * 60)  # noqa: S311 - spreads load
    query = {"sessionId": session_id}
    async with http.stream(ROTATE_STREAM, bearer=bearer, query=query) as response:
        _check(http, response)
        watched = WatchedBytes(
            response.aiter_raw(), limits or StreamLimits(), max_age_seconds=max_age_seconds
        )
        # The charset is forced: events are UTF-8 whatever a header claims.
        source = EventSource(
            httpx.Response(
                200, headers={"content-type": "text/event-stream"}, stream=watched
            )
        )
        with http.lookout.over(connection_of(response), watched.give_up):
            async with aclosing(source.aiter_sse()) as events:
                yield EventStream(http, bearer, watched, events)


def _check(http: Http, response: httpx.Response) -> None:
    if response.status_code == 204:
        detail = "nothing to stream for this session"
        raise RefusedError(f"{http.host}: {detail}", status=204, detail=detail)
    media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type in {"text/html", "application/xhtml+xml"}:
        raise TransientError(
            f"{http.host} answered with an HTML page instead of a stream",
            hint="a captive portal or a proxy stands between this host and the platform",
        )
    if media_type != "text/event-stream":
        raise TransientError(f"{http.host} answered with something that is no event stream")
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"identity", ""}:
        raise TransientError(f"{http.host} packed the stream although asked not to")


def understand(name: str, data: str) -> StreamEvent | None:
    """Return what an event means; None for one that is not about credentials.

    An unnamed event without data is a keepalive after an event with an id, not an
    event. A payload is `{"delta": {…}}` or `{"env": {…}}`; values that are not text are
    left out, and a payload that leaves nothing asks for a new snapshot.
    """
    if name not in {"UPDATE", "message"} or (name == "message" and not data):
        return None
    try:
        payload = json.loads(data)
    except (ValueError, RecursionError):
        return Unusable("the event is not JSON")
    if not isinstance(payload, dict):
        return Unusable("the event is not an object")
    found = [payload[key] for key in ("delta", "env") if isinstance(payload.get(key), dict)]
    values = found[0] if found else {}
    delta = {key: value for key, value in values.items() if isinstance(value, str)}
    if not delta:
        return Unusable("the event carries no values")
    return Update(delta, is_whole=len(delta) == len(values))
