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
        self._windows: dict[str, tuple[float, int]] = {}

    def warning(self, event: str, **fields: Any) -> None:
        """Log a warning, unless the same event was logged within the last minute."""
        now = self._clock()
        begun, suppressed = self._windows.get(event, (now - WINDOW_SECONDS, 0))
        if now - begun < WINDOW_SECONDS:
            self._windows[event] = (begun, suppressed + 1)
            return
        self._windows[event] = (now, 0)
        _log.warning(event, **fields, suppressed=suppressed)
