"""Directs structlog and the standard library's logging to one writer.

All other modules only call `structlog.get_logger()`. Our own events never hold secrets,
whose types cannot be printed; text from libraries and tracebacks goes through `scrub`.
"""

import logging
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import structlog

from rensei_daemon.core.iso_time import iso_time
from rensei_daemon.logs.formatting import LEVELS, Event
from rensei_daemon.logs.outputs import Output
from rensei_daemon.logs.writer import Writer

Scrub = Callable[[str], str]

_TALKATIVE = ("httpx", "httpcore")
"""Libraries that log every URL at level info."""


class LogControl:
    """The running log: its level, which may change, and its lost lines."""

    def __init__(self, level: str, writer: Writer) -> None:
        self._writer = writer
        self._level = level
        self.set_level(level)

    @property
    def level(self) -> str:
        """The lowest level that is logged."""
        return self._level

    @property
    def dropped(self) -> int:
        """How many lines were lost since the start."""
        return self._writer.dropped

    @property
    def dropped_since(self) -> datetime | None:
        """When the first of them was lost."""
        return self._writer.dropped_since

    def set_level(self, level: str) -> None:
        """Change the level of every logger, including those already bound."""
        logging.getLogger().setLevel(LEVELS[level])
        self._level = level

    def admits(self, level: str) -> bool:
        """Whether an event of this level is logged."""
        return LEVELS[level] >= LEVELS[self._level]


@contextmanager
def log_to(
    outputs: Sequence[Output],
    *,
    level: str,
    scrub: Scrub = str,
    say_hint: Callable[[str], str] = str,
) -> Iterator[LogControl]:
    """Log to these outputs while the block runs; write queued events at its end.

    `say_hint` adapts the commands in a hint to this daemon.
    """
    writer = Writer(outputs)
    writer.start()
    root = logging.getLogger()
    before = root.level, root.handlers[:], structlog.get_config()
    control = LogControl(level, writer)
    pipeline = _Pipeline(control, writer, scrub, say_hint)
    root.handlers[:] = [_Bridge(pipeline)]
    logging.captureWarnings(True)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    pipeline.configure_structlog()
    try:
        yield control
    finally:
        logging.captureWarnings(False)
        root.setLevel(before[0])
        root.handlers[:] = before[1]
        structlog.configure(**before[2])
        writer.close()


class _Pipeline:
    """Processes a call of a log method and queues the event."""

    def __init__(
        self,
        control: LogControl,
        writer: Writer,
        scrub: Scrub,
        say_hint: Callable[[str], str],
    ) -> None:
        self._control = control
        self._writer = writer
        self._scrub = scrub
        self._say_hint = say_hint

    def configure_structlog(self) -> None:
        structlog.configure(
            processors=[
                self.gate,
                structlog.contextvars.merge_contextvars,
                structlog.processors.format_exc_info,
                self.finish,
            ],
            wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET),
            logger_factory=lambda *_: self,
            cache_logger_on_first_use=False,  # a test, or a second run, configures it again
        )

    def gate(
        self, _: object, method: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        if not self._control.admits(method):
            raise structlog.DropEvent
        return event

    def finish(
        self, _: object, method: str, event: MutableMapping[str, Any]
    ) -> tuple[tuple[Event], dict[str, Any]]:
        if hint := event.get("hint"):
            event["hint"] = self._say_hint(str(hint))
        return (self.complete(method, event),), {}

    def complete(self, level: str, event: MutableMapping[str, Any]) -> Event:
        """Return an event with all fields in their order."""
        exception = event.pop("exception", None)
        whole = {
            "timestamp": iso_time(datetime.now(UTC)),
            "level": level,
            "event": event.pop("event", ""),
            **event,
        }
        if exception:
            whole["exception"] = self._scrub(exception)
        return whole

    def take_foreign(self, level: str, logger: str, text: str, trace: str) -> None:
        """Log a message of a library."""
        event = {"event": "library.logged", "logger": logger, "text": self._scrub(text)}
        self.write(self.complete(level, event | {"exception": trace}))

    def write(self, event: Event) -> None:
        self._writer.put(event)

    debug = info = warning = error = critical = write


class _Bridge(logging.Handler):
    """Turns records of the standard library's logging into events."""

    def __init__(self, pipeline: _Pipeline) -> None:
        super().__init__()
        self._pipeline = pipeline
        self._formatter = logging.Formatter()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = record.getMessage()
        except (TypeError, ValueError, LookupError):  # wrong arguments for the format
            text = str(record.msg)
        trace = ""
        if record.exc_info and record.exc_info[0]:
            trace = self._formatter.formatException(record.exc_info)
        self._pipeline.take_foreign(_level(record.levelno), record.name, text, trace)


def _level(number: int) -> str:
    fitting = [name for name, weight in LEVELS.items() if weight <= number]
    return fitting[-1] if fitting else "debug"
