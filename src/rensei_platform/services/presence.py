"""When each host was seen last: kept in memory, and written for many hosts at once."""

from datetime import datetime

import anyio

from rensei_platform.errors import UnavailableError
from rensei_platform.store import hosts
from rensei_platform.store.engine import Store


class Presence:
    """The beats since the last write. A row a beat would be most of the database's work."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[datetime, int]] = {}

    def note(self, host_id: str, at: datetime, active_count: int) -> None:
        """Note a beat."""
        self._seen[host_id] = (at, active_count)

    def get(self, host_id: str) -> tuple[datetime, int] | None:
        """Return what is not written yet of a host: (last seen, active sessions)."""
        return self._seen.get(host_id)

    async def write(self, store: Store) -> None:
        """Write what was noted. While the database is away it is kept for the next time."""
        seen, self._seen = self._seen, {}
        if not seen:
            return
        try:
            async with store.write() as db:
                rows = ((host_id, at, active) for host_id, (at, active) in seen.items())
                await hosts.note_presence(db, rows)
        except UnavailableError:
            self._seen = seen | self._seen

    async def write_regularly(self, store: Store, seconds: float) -> None:
        """Write every `seconds`, for ever."""
        while True:
            await anyio.sleep(seconds)
            await self.write(store)
