"""The values of a session for a supervisor, across restarts of the daemon."""

import random
import time
from collections.abc import Mapping

from rensei_daemon.delivery.credential_reader import CredentialReader
from rensei_daemon.errors import DaemonNotRunningError, NotPermittedError

RECONNECT_SECONDS = (0.05, 1.0)
"""The first wait and the longest; each wait is twice the one before."""


class CredentialFeed:
    """The newest values, and the connection that delivers them."""

    def __init__(self, reader: CredentialReader, values: Mapping[str, str] | None) -> None:
        self.reader = reader
        self.values = values
        """None if there were never any."""
        self.reconnect_at = float("inf")
        """Monotonic time."""
        self._wait = RECONNECT_SECONDS[0]

    def listen(self) -> None:
        """Read what has arrived, and connect again if it is time; never wait."""
        if time.monotonic() >= self.reconnect_at:
            self._reconnect()
        for frame in self.reader.frames():
            match frame.type:
                case "INITIAL":
                    self.values = frame.env
                    self._wait = RECONNECT_SECONDS[0]
                case "UPDATE":
                    self.values = {**(self.values or {}), **frame.env}
                case _:
                    self.reader.close()
        if not self.reader.is_open and self.reconnect_at == float("inf"):
            wait = self._wait
            self._wait = min(2 * wait, RECONNECT_SECONDS[1])
            jitter = random.uniform(0.5, 1.0)  # noqa: S311 - spreads load
            self.reconnect_at = time.monotonic() + wait * jitter

    def _reconnect(self) -> None:
        self.reconnect_at = float("inf")
        try:
            self.reader.open()
        except (DaemonNotRunningError, NotPermittedError):
            return  # another attempt follows later
