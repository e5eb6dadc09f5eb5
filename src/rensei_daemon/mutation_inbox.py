"""Stores mutations that heartbeat responses deliver, before anything that can wait.

::

    response ─▶ MutationInbox ─▶ journal.receive ─▶ (wake event) ─▶ tasks/mutations

A platform may deliver a mutation only once. So a later response never replaces it, and it
waits neither for the file nor for an edit in progress. What the journal does not take (a
full disk, a lock) is held in memory and stored as soon as the journal can be written.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import accumulate

import anyio
import anyio.to_thread

from rensei_daemon.clock import CLOCK
from rensei_daemon.core.board import Board
from rensei_daemon.core.conditions import Code
from rensei_daemon.core.flood_meter import FloodMeter
from rensei_daemon.core.pending_mutation import PendingMutation
from rensei_daemon.disk.journal import Journal, Received
from rensei_daemon.errors import StorageError
from rensei_daemon.fast_dataclass import dataclass, replace
from rensei_daemon.wake_event import WakeEvent

DEFAULT_STATE_BYTES = 256 * 1024 * 1024

MOST_HELD = 10_000
"""Mutations held in memory; the platform has to deliver any more of them again."""

MOST_HELD_BYTES = 32 * 1024 * 1024
"""Their size in the journal: two of the largest responses."""

_STORED_AT_ONCE = 1024 * 1024
"""Bytes stored in one transaction, which pass through the write-ahead log together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxBatch:
    """What was noticed of deliveries, apart from what the journal holds."""

    conflicts: tuple[PendingMutation, ...] = ()
    """Delivered again with other content."""
    refused: tuple[PendingMutation, ...] = ()
    """Failed on receipt, each for its `refusal`."""
    pool_is_ok: bool = False
    """Whether the last response says that a deleted pool is usable again."""


class MutationInbox:
    """Deliveries on their way into the journal, from the heartbeat to the applier."""

    def __init__(
        self,
        journal: Journal,
        board: Board,
        *,
        state_bytes: Callable[[], int] = lambda: DEFAULT_STATE_BYTES,
    ) -> None:
        """`state_bytes` returns the current limit of the state directory's size."""
        self.wake_event = WakeEvent()
        self._state_bytes = state_bytes
        self._flood = FloodMeter()
        self._journal, self._board = journal, board
        self._held: dict[tuple[str, str], PendingMutation] = {}
        """Delivered and not yet stored, by id and content, in the order of delivery."""
        self._left_out = 0
        """How many mutations were last left out because of the limits."""
        self._taken = InboxBatch()
        self._storing = anyio.Lock()

    async def put(
        self, delivered: Sequence[PendingMutation], *, pool_is_ok: bool = False
    ) -> None:
        """Store a response's mutations; hold them in memory if the journal refuses.

        `pool_is_ok`: the response says that a deleted pool is usable again. A cancelled
        caller does not stop it: the platform may not deliver a second time.
        """
        for mutation in delivered:
            self._held.setdefault((mutation.id, mutation.digest), mutation)
        self._taken = replace(self._taken, pool_is_ok=pool_is_ok)
        with anyio.CancelScope(shield=True):
            await self.store()  # the next round retries
        if delivered or pool_is_ok:
            self.wake_event.set()

    async def store(self) -> StorageError | None:
        """Move what is held into the journal; return the error if some of it stays held."""
        async with self._storing:
            try:
                for part in _parts(list(self._held.values())):
                    await self._store(part)
            except StorageError as error:
                self._leave_out()
                self._post_held(error)
                return error
            if not self._held:
                self._left_out = 0
                self._board.clear(Code.STORAGE, "deliveries")
            self._post_flood()
        return None

    async def _store(self, part: Sequence[PendingMutation]) -> None:
        had_to_forget, received = await anyio.to_thread.run_sync(
            partial(_receive, self._journal, part, self._state_bytes())
        )
        for mutation in part:
            del self._held[mutation.id, mutation.digest]
        now = anyio.current_time()
        self._flood.note(received.new, had_to_forget=had_to_forget, now=now)
        self._taken = replace(
            self._taken,
            conflicts=self._taken.conflicts + received.conflicts,
            refused=self._taken.refused + received.refused,
        )

    def _leave_out(self) -> None:
        """Drop the newest mutations that exceed the limits."""
        totals = accumulate(mutation.record_bytes for mutation in self._held.values())
        fitting = min(sum(total <= MOST_HELD_BYTES for total in totals), MOST_HELD)
        if beyond := list(self._held)[fitting:]:
            self._left_out = len(beyond)
            for key in beyond:
                del self._held[key]

    def _post_held(self, error: StorageError) -> None:
        beyond = ""
        if self._left_out:
            were = "was" if self._left_out == 1 else "were"
            beyond = f" and {self._left_out} more {were} not taken up"
        count = len(self._held)
        held = f"{count} delivered mutation{' is' if count == 1 else 's are'}"
        self._board.raise_alarm(
            Code.STORAGE,
            f"{held} held in memory{beyond}, because the journal cannot be written: "
            f"{error}",
            hint=error.hint,
            now=CLOCK.now(),
            subject="deliveries",
        )

    def _post_flood(self) -> None:
        now = anyio.current_time()
        if not self._flood.is_flooded(now):
            self._board.clear(Code.PLATFORM_FLOOD, "heartbeat")
            return
        self._board.raise_alarm(
            Code.PLATFORM_FLOOD,
            f"the platform sent {self._flood.count(now):,} new mutations within an hour; "
            "older texts and params are deleted for them",
            hint="see what they are: rensei-daemon mutations list; ask who sends them",
            now=CLOCK.now(),
            subject="heartbeat",
        )

    def take(self) -> InboxBatch:
        """Return what was noticed since the last call."""
        taken, self._taken = self._taken, InboxBatch()
        return taken


def _parts(held: Sequence[PendingMutation]) -> Iterator[Sequence[PendingMutation]]:
    """Yield parts that each fit into one transaction, in order."""
    part: list[PendingMutation] = []
    part_bytes = 0
    for mutation in held:
        part_bytes += mutation.record_bytes
        if part and part_bytes > _STORED_AT_ONCE:
            yield part
            part, part_bytes = [], mutation.record_bytes
        part.append(mutation)
    if part:
        yield part


def _receive(
    journal: Journal, part: Sequence[PendingMutation], state_bytes: int
) -> tuple[bool, Received]:
    """Free space and record what was delivered; block."""
    arriving_bytes = sum(mutation.record_bytes for mutation in part)
    had_to_forget = journal.budget.enforce(state_bytes, arriving_bytes=arriving_bytes)
    return had_to_forget, journal.receive(part, datetime.now(UTC))
