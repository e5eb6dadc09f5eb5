"""When each host was seen last: kept in memory, and written for many hosts at once."""

from datetime import datetime, timedelta

import anyio

from rensei_platform.errors import UnavailableError
from rensei_platform.rules.clones import has_returned
from rensei_platform.store import hosts, workers
from rensei_platform.store.engine import Store

SEEN_EVERY = timedelta(minutes=10)
"""It is written once in this time that a worker is alive."""


class Presence:
    """The beats since the last write. A row a beat would be most of the database's work."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[datetime, int]] = {}
        self._workers: dict[str, datetime] = {}
        """When it was last noted, within `SEEN_EVERY`, that a worker is alive."""
        self._workers_to_write: dict[str, datetime] = {}

    def note(self, host_id: str, at: datetime, active_count: int) -> None:
        """Note a beat."""
        self._seen[host_id] = (at, active_count)

    def note_worker(
        self, worker_id: str, at: datetime, replaced_at: datetime | None
    ) -> None:
        """Note that a worker is alive; `replaced_at`: a newer one of its host came then.

        One that goes on after that is written once more, whichever servers the two reach:
        it is another daemon, and nobody would know for minutes.
        """
        noted = self._workers.get(worker_id)
        is_due = noted is None or abs(at - noted) >= SEEN_EVERY
        if is_due or _is_first_return(noted, at, replaced_at):
            self._workers[worker_id] = self._workers_to_write[worker_id] = at

    def get(self, host_id: str) -> tuple[datetime, int] | None:
        """Return what is not written yet of a host: (last seen, active sessions)."""
        return self._seen.get(host_id)

    async def write(self, store: Store) -> None:
        """Write what was noted. While the database is away it is kept for the next time."""
        seen, self._seen = self._seen, {}
        alive, self._workers_to_write = self._workers_to_write, {}
        if not seen:
            return
        try:
            async with store.write() as db:
                rows = ((host_id, at, active) for host_id, (at, active) in seen.items())
                await hosts.note_presence(db, rows)
                if alive:
                    await workers.note_workers(db, alive)
        except UnavailableError:
            self._seen = seen | self._seen
            self._workers_to_write = alive | self._workers_to_write
        else:
            self._forget_workers()

    def _forget_workers(self) -> None:
        """Forget workers that are noted anew if they are still there."""
        newest = max(self._workers.values(), default=None)
        for worker_id, at in list(self._workers.items()):
            if newest is not None and newest - at >= SEEN_EVERY:
                del self._workers[worker_id]

    async def write_regularly(self, store: Store, seconds: float) -> None:
        """Write every `seconds`, for ever."""
        while True:
            await anyio.sleep(seconds)
            await self.write(store)


def _is_first_return(
    noted: datetime | None, at: datetime, replaced_at: datetime | None
) -> bool:
    """Whether a heartbeat is the first that shows that a host has two daemons."""
    if noted is None or replaced_at is None:
        return False
    return has_returned(at, replaced_at) and not has_returned(noted, replaced_at)
