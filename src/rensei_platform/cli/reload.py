"""Reading settings again while a server runs (HUP, `systemctl reload`)."""

import os
import time

import structlog

from rensei_platform.cli.database import Setup
from rensei_platform.errors import SettingsError
from rensei_platform.http.server import Exposure
from rensei_platform.logs import configure_log
from rensei_platform.systemd import notify

APPLIED = ("log_level", "log_format")
"""The settings that take effect at once; the others need a restart."""

_log = structlog.get_logger()


class Reload:
    """The settings that a server runs with, and how they are read again."""

    def __init__(self, setup: Setup, exposure: Exposure) -> None:
        self._started, self._exposure = setup, exposure

    def carry_out(self) -> None:
        """Read the files; what is wrong is logged, and what was in force stays."""
        started = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        notify(os.environ, "RELOADING=1", f"MONOTONIC_USEC={started}")
        try:
            self._apply(self._started.read_again())
        except SettingsError as error:
            _log.error("config.not_read", error=str(error))
        if self._exposure.certificate is not None:
            self._exposure.certificate.refresh()
        notify(os.environ, "READY=1")

    def _apply(self, found: Setup) -> None:
        configure_log(found.config.log_level, found.config.log_format)
        before = self._started.config.model_dump()
        waiting = [
            name
            for name, value in found.config.model_dump().items()
            if value != before[name] and name not in APPLIED
        ]
        if found.providers != self._started.providers:
            waiting.append("providers")
        _log.info("config.read", restart_needed_for=waiting)
