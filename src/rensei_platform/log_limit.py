"""Warnings that would come by the thousand: one a minute of each kind."""

import time
from collections.abc import Callable
from typing import Any

import structlog

WINDOW_SECONDS = 60.0

_log = structlog.get_logger()


class LogLimit:
    """Logs the first warning of an event in a minute, with how many came before it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._windows: dict[tuple[str, str], tuple[float, int]] = {}

    def warning(self, event: str, *, about: str = "", **fields: Any) -> None:
        """Log a warning, unless the same event was logged within the last minute.

        Events of one name that are about different things do not suppress each other.
        """
        now = self._clock()
        key = (event, about)
        begun, suppressed = self._windows.get(key, (now - WINDOW_SECONDS, 0))
        if now - begun < WINDOW_SECONDS:
            self._windows[key] = (begun, suppressed + 1)
            return
        self._windows[key] = (now, 0)
        _log.warning(event, **fields, suppressed=suppressed)
