"""The stream of a page that is open: one line whenever it should be fetched again.

It holds no content. A second may pass between two lines, whatever happens in between.
"""

from collections import OrderedDict
from collections.abc import AsyncIterator

import anyio
from starlette.responses import Response, StreamingResponse

from rensei_platform.console.pages import Visit, shows
from rensei_platform.errors import UnavailableError
from rensei_platform.services.changes import Watcher
from rensei_platform.services.console_sessions import is_alive

COALESCE_SECONDS = 1.0
"""Between two lines of a stream."""
KEEPALIVE_SECONDS = 15.0
"""Without a change, after which the session is looked at and the connection is used."""
MOST_OF_SESSION = 4
"""Streams of one session; the next one ends the oldest."""
MOST = 1000
"""Streams of one server."""

_HELLO = b"retry: 5000\n\n"
_CHANGE = b"event: change\ndata: 1\n\n"
_END = b"event: end\ndata: 1\n\n"
_KEEPALIVE = b": keepalive\n\n"


class OpenStreams:
    """The streams of each session, oldest first."""

    def __init__(self) -> None:
        self._by_session: dict[str, OrderedDict[int, Watcher]] = {}

    def add(self, session: str, watcher: Watcher) -> None:
        """Add a stream, and end the oldest of its session if there are too many."""
        of_session = self._by_session.setdefault(session, OrderedDict())
        of_session[id(watcher)] = watcher
        while len(of_session) > MOST_OF_SESSION:
            _, oldest = of_session.popitem(last=False)
            oldest.end()

    def remove(self, session: str, watcher: Watcher) -> None:
        """Forget a stream."""
        of_session = self._by_session.get(session, OrderedDict())
        of_session.pop(id(watcher), None)
        if not of_session:
            self._by_session.pop(session, None)


async def events(visit: Visit) -> Response:
    """GET /console/events: for as long as the page is open and its session lasts."""
    if len(visit.platform.changes) >= MOST:
        raise UnavailableError("Too many pages are open", retry_after_seconds=30)
    return StreamingResponse(
        _lines(visit),
        media_type="text/event-stream",
        headers={"cache-control": "no-store", "x-accel-buffering": "no"},
    )


async def _lines(visit: Visit) -> AsyncIterator[bytes]:
    platform, session = visit.platform, visit.session
    streams: OpenStreams = visit.request.app.state.streams
    with platform.changes.watching(session.caller.org_id) as watcher:
        streams.add(session.digest, watcher)
        try:
            yield _HELLO
            while True:
                line = _KEEPALIVE
                with anyio.move_on_after(KEEPALIVE_SECONDS):
                    await watcher.wait()
                    line = _CHANGE
                try:
                    is_over = watcher.is_over or not await is_alive(platform, session)
                    platform.availability.require()
                except UnavailableError:
                    return  # without a word: the page asks again
                if is_over:
                    yield _END
                    return
                yield line
                await anyio.sleep(COALESCE_SECONDS)
        finally:
            streams.remove(session.digest, watcher)


ROUTES = (shows("/events", events),)
