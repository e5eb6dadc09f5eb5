"""Reports of something that fails repeatedly: its log lines, its alarm and its recovery.

`core.failure_log` decides which failures of a row are logged at their level; the others
are logged at debug. Every line carries the `count` of failures in the row.
"""

import time
from collections.abc import Callable
from typing import Any, Literal

import structlog

from rensei_daemon.clock import CLOCK
from rensei_daemon.core.board import Board
from rensei_daemon.core.conditions import Code
from rensei_daemon.core.failure_log import MOST_TEXTS, FailureStreak
from rensei_daemon.errors import RenseiError

Level = Literal["warning", "error", "exception"]


class FailureReporter:
    """Reports one thing that may fail repeatedly."""

    def __init__(
        self,
        log: Any = None,
        *,
        board: Board | None = None,
        subject: str = "",
        calm_seconds: float = 0.0,
        most_texts: int = MOST_TEXTS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`log` may carry fields; alarms are raised on `board` about `subject`."""
        self._log = structlog.get_logger() if log is None else log
        self._board, self._subject = board, subject
        self._streak = FailureStreak(calm_seconds=calm_seconds, most_texts=most_texts)
        self._clock = clock
        self._alarms: frozenset[Code] = frozenset()
        """Those raised here and not cleared since."""

    @property
    def is_quiet(self) -> bool:
        """Whether it failed last, and nothing was logged of it since it last worked."""
        return self._streak.is_failing and not self._streak.owes_recovery

    def report_error(
        self,
        event: str,
        error: RenseiError,
        *,
        alarm: Code | None = None,
        message: str = "",
        level: Level = "warning",
        **fields: object,
    ) -> None:
        """Log an error with its hint; raise the alarm with `message`, or the error's."""
        why, hint = str(error), error.hint
        self.report_failure(event, why, level=level, error=why, hint=hint, **fields)
        if alarm is not None:
            self.raise_alarm(alarm, message or why, hint=hint)

    def report_failure(
        self, event: str, text: str = "", *, level: Level = "warning", **fields: object
    ) -> None:
        """Log a failure; `text` tells failures of different causes apart."""
        should_log = self._streak.fail(self._clock(), text)
        log = getattr(self._log, level if should_log else "debug")
        log(event, count=self._streak.count, **fields)

    def report_event(
        self, event: str, text: str = "", *, level: Level = "warning", **fields: object
    ) -> None:
        """Log something that is over at once; the row ends after the calm seconds."""
        self.report_failure(event, text, level=level, **fields)
        self._streak.recover(self._clock())

    def report_recovery(self, event: str = "", **fields: object) -> None:
        """Clear the alarms, and log the event if a failure was logged before."""
        self.clear_alarms()
        over = self._streak.recover(self._clock())
        if over and event:
            self._log.info(event, count=over.count, seconds=over.seconds, **fields)

    def raise_alarm(self, code: Code, message: str, *, hint: str) -> None:
        """Raise an alarm that lasts until it is cleared here."""
        if self._board is not None:
            now, subject = CLOCK.now(), self._subject
            self._board.raise_alarm(code, message, hint=hint, now=now, subject=subject)
            self._alarms |= {code}

    def clear_alarms(self, *codes: Code, but: Code | None = None) -> None:
        """Clear these alarms, or all that were raised here; keep the one named by `but`."""
        if not self._alarms:
            return
        cleared = self._alarms.intersection(codes or self._alarms) - {but}
        self._alarms -= cleared
        for code in cleared:
            if self._board is not None:
                self._board.clear(code, self._subject)
