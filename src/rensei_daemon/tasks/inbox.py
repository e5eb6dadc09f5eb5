"""What heartbeat answers bring, made durable before anything that can wait.

::

    answer ─▶ Inbox ─▶ journal.receive ─▶ (bell) ─▶ tasks/mutations

A platform may hand a mutation out only once, so it is never replaced by a later answer
and never waits for the file or for an edit under way. What the journal does not take (a
full disk, a lock) is held in memory and stored as soon as the journal can be written.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

import anyio
import anyio.to_thread

from rensei_daemon.clock import CLOCK
from rensei_daemon.core.board import Board
from rensei_daemon.core.conditions import Code
from rensei_daemon.core.pending import PendingMutation
from rensei_daemon.disk.journal import Journal
from rensei_daemon.errors import StorageError
from rensei_daemon.tasks.bell import Bell


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What the applier has to know of deliveries, beside what the journal holds."""

    conflicts: tuple[PendingMutation, ...] = ()
    """They came again with other content."""
    refused: tuple[PendingMutation, ...] = ()
    """They failed on receipt, each for its `refusal`."""
    pool_is_ok: bool = False
    """Whether the last answer called a deleted pool well again."""


class Inbox:
    """Deliveries on their way into the journal; the heartbeat puts, the applier takes."""

    def __init__(self, journal: Journal, board: Board) -> None:
        self.bell = Bell()
        self._journal, self._board = journal, board
        self._held: dict[tuple[str, str], PendingMutation] = {}
        """Delivered and not yet durable, by id and content, in the order of delivery."""
        self._taken = Taken()
        self._storing = anyio.Lock()

    async def put(
        self, delivered: Sequence[PendingMutation], *, pool_is_ok: bool = False
    ) -> None:
        """Store an answer's mutations; hold them in memory while the journal refuses.

        `pool_is_ok`: the answer calls a deleted pool well again. Runs to its end even
        when the caller is cancelled: the platform may not deliver a second time.
        """
        for mutation in delivered:
            self._held.setdefault((mutation.id, mutation.digest), mutation)
        self._taken = replace(self._taken, pool_is_ok=pool_is_ok)
        with anyio.CancelScope(shield=True):
            with suppress(StorageError):  # on the board; the applier's next round retries
                await self.store()
        if delivered or pool_is_ok:
            self.bell.ring()

    async def store(self) -> None:
        """Move what is held into the journal; raises `StorageError` and keeps the rest."""
        async with self._storing:
            held = list(self._held.values())
            if not held:
                return
            store = partial(self._journal.receive, held, datetime.now(UTC))
            try:
                received = await anyio.to_thread.run_sync(store)
            except StorageError as error:
                self._board.raise_alarm(
                    Code.STORAGE,
                    f"{len(held)} delivered mutations are held in memory, "
                    f"because the journal cannot be written: {error}",
                    hint=error.hint,
                    now=CLOCK.now(),
                    subject="journal",
                )
                raise
            for mutation in held:
                del self._held[mutation.id, mutation.digest]
            self._taken = replace(
                self._taken,
                conflicts=self._taken.conflicts + received.conflicts,
                refused=self._taken.refused + received.refused,
            )
            self._board.clear(Code.STORAGE, "journal")

    def take(self) -> Taken:
        """Return what has come since the last time."""
        taken, self._taken = self._taken, Taken()
        return taken
