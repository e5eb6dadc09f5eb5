"""When a session's variables changed, and the log of it.

The names are looked for after the values have been delivered: nobody waits for them.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

import structlog

from rensei_daemon.clock import CLOCK
from rensei_daemon.core.credential import Credentials, difference


class _Change(NamedTuple):
    before: Credentials
    after: Credentials
    source: str
    at: datetime


class ValueChanges:
    """The changes of one session's values."""

    def __init__(self, session_id: str) -> None:
        self._log = structlog.get_logger().bind(session_id=session_id)
        self._at: dict[str, datetime] = {}
        self._unnoted: list[_Change] = []

    @property
    def at(self) -> Mapping[str, datetime]:
        """When each variable's value last changed, by `CLOCK`."""
        self.note()
        return self._at

    def add(self, before: Credentials, after: Credentials, source: str) -> None:
        """Add a change that happened now; `source` is what brought it."""
        self._unnoted.append(_Change(before, after, source, CLOCK.now()))

    def note(self) -> None:
        """Log what was added since the last time."""
        changes, self._unnoted = self._unnoted, []
        for one in changes:
            names = difference(one.before, one.after)
            self._at |= dict.fromkeys(names.changed, one.at)
            for name in names.removed:
                del self._at[name]
            self._log.info(
                "credentials.changed",
                generation=one.after.generation,
                names=names.names,
                source=one.source,
            )
