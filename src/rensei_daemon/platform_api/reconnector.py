"""How long to wait before a stream is opened again, from how the last one ended."""

from rensei_daemon.core.backoff import Draw
from rensei_daemon.core.reconnect import ReconnectPolicy, StreamEnd
from rensei_daemon.core.retry_policy import requested_wait
from rensei_daemon.errors import PlatformError, TransientError
from rensei_daemon.platform_api.stream import EventStream


class Reconnector:
    """The attempts of one listener; each wait depends on those before it."""

    def __init__(self, draw: Draw, *, not_found_seconds: float) -> None:
        """Wait at least `not_found_seconds` after an answer that there is no stream."""
        self._draw, self._not_found_seconds = draw, not_found_seconds
        self._policy = ReconnectPolicy()
        self.is_asked = False
        """Whether the platform asked for the last wait, by the answer or by the stream."""

    def wait_after(
        self,
        stream: EventStream | None,
        error: PlatformError | None,
        *,
        lived_seconds: float | None,
        has_delivered: bool,
    ) -> float:
        """Return the seconds to wait after a stream ended, or could not be opened.

        `lived_seconds` is None if it could not be opened, and then so is `stream`.
        """
        asked = max(
            requested_wait(error, self._not_found_seconds),
            (stream and stream.retry_seconds) or 0.0,
        )
        end = StreamEnd(
            lived_seconds=lived_seconds or 0.0,
            has_delivered=has_delivered,
            is_refused=error is not None and not isinstance(error, TransientError),
            asked_seconds=asked,
        )
        wait, self._policy = self._policy.next(end, self._draw)
        self.is_asked = asked > 0
        return wait
