"""Refused requests in the audit: counted, and written once a minute for each actor.

A row a refusal would let anybody fill the database.
"""

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

import anyio
import structlog

from rensei_platform.errors import UnavailableError
from rensei_platform.store import audit
from rensei_platform.store.engine import Store

WRITE_SECONDS = 60.0
MOST_ACTORS = 1000
"""Counted apart within a minute; the rest is counted together."""

_log = structlog.get_logger()


class Refusal(NamedTuple):
    """Who was refused what. Without an organization nobody could tell who it was."""

    org_id: str | None
    actor: str
    key_id: str | None
    action: str
    """The name of the call, such as `set_values`."""
    status: int
    address: str


class Refusals:
    """The refusals since the last write."""

    def __init__(self) -> None:
        self._counts: Counter[Refusal] = Counter()

    def count(self, refusal: Refusal) -> None:
        """Count one."""
        if refusal not in self._counts and len(self._counts) >= MOST_ACTORS:
            refusal = Refusal(None, "others", None, "any", refusal.status, "")
        self._counts[refusal] += 1

    async def write(self, store: Store, now: Callable[[], datetime]) -> None:
        """Write what was counted; it is kept while the database is away."""
        counts, self._counts = self._counts, Counter()
        if not counts:
            return
        try:
            async with store.write() as db:
                await audit.add_refusals(
                    db,
                    [
                        {**refusal._asdict(), "count": count, "at": now()}
                        for refusal, count in counts.items()
                    ],
                )
        except UnavailableError as error:
            _log.warning("audit.delayed", count=counts.total(), error=str(error))
            for refusal, count in counts.items():
                self._counts[refusal] += count

    async def write_regularly(self, store: Store, now: Callable[[], datetime]) -> None:
        """Write once a minute, for ever."""
        while True:
            await anyio.sleep(WRITE_SECONDS)
            await self.write(store, now)
