"""The log: structured events on stderr, one line each, which never hold a value.

An event has `timestamp` (ISO 8601, UTC), `level`, `event` (such as `server.ready`) and
further fields. On a terminal it is text, elsewhere JSON in ASCII.
"""

import logging
import sys
from typing import Literal, TextIO

import structlog

from rensei_platform.log_limit import LogLimit

Form = Literal["auto", "text", "json"]

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def configure_log(level: str, form: Form, stream: TextIO = sys.stderr) -> None:
    """Direct structlog, and the logging of libraries, to a stream."""
    is_text = form == "text" or (form == "auto" and stream.isatty())
    renderer = (
        structlog.dev.ConsoleRenderer(colors=False)
        if is_text
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(stream),
    )
    root = logging.getLogger()
    root.handlers[:] = [_Libraries()]
    root.setLevel(max(logging.WARNING, _LEVELS[level]))


class _Libraries(logging.Handler):
    """Makes an event of what a library logs.

    Anybody can have a server warn of what is no HTTP, as often as he likes.
    """

    def __init__(self) -> None:
        super().__init__()
        self._limit = LogLimit()

    def emit(self, record: logging.LogRecord) -> None:
        """Log it with the name of the logger and the traceback."""
        if record.levelno == logging.WARNING and not record.exc_info:
            self._limit.warning(
                "library.logged",
                about=f"{record.name} {record.msg}",
                logger=record.name,
                message=record.getMessage(),
            )
            return
        structlog.get_logger().log(
            record.levelno,
            "library.logged",
            logger=record.name,
            message=record.getMessage(),
            exc_info=record.exc_info,
        )
