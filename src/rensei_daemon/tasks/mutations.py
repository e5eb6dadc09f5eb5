"""From a delivered mutation to a recorded outcome; the sole writer of `config.toml`.

::

    response ─▶ inbox ─▶ begin ─▶ plan ─▶ intend ─▶ replace ─▶ record ─▶ wake heartbeat
            (journal) (journal)  (core) (journal)  (file)   (journal)     │
    next heartbeat ◀── acks, until one is answered ◀──────────────────────┘

The inbox stores what was delivered before this task sees it. The steps from `begin` to
`record` are in `disk.applier`. An outcome is never sent before it is recorded, and a
recorded outcome is sent until the platform has answered. While the file or the disk does
not allow an edit, mutations wait, and the board says why.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeVar

import anyio
import anyio.lowlevel
import anyio.to_thread
import structlog

from rensei_daemon.clock import CLOCK
from rensei_daemon.core.backoff import Backoff, Draw
from rensei_daemon.core.board import Board
from rensei_daemon.core.conditions import Code
from rensei_daemon.core.document import Document
from rensei_daemon.core.health import MutationsHealth
from rensei_daemon.core.liveness import Deadlines
from rensei_daemon.core.mutation_state import Outcome
from rensei_daemon.disk.applier import Applier
from rensei_daemon.disk.journal import Journal
from rensei_daemon.errors import RenseiError, StorageError
from rensei_daemon.failure_reporter import FailureReporter
from rensei_daemon.fast_dataclass import dataclass, field
from rensei_daemon.long_work import run_in_thread
from rensei_daemon.mutation_inbox import InboxBatch, MutationInbox
from rensei_daemon.settings.configuration import Configuration
from rensei_daemon.settings.values import Settings
from rensei_daemon.wake_event import WakeEvent

LINES_A_TURN = 32
"""Lines logged before other tasks run: a line takes a tenth of a millisecond."""

ROUND_SECONDS = 300.0
"""The longest a round can take, a slow disk and a slow editor included."""

STORE_AGAIN_SECONDS = 5.0
"""The wait before another attempt when the journal did not take what was delivered."""

RETRY = Backoff(base_seconds=1.0, cap_seconds=60.0)

_T = TypeVar("_T")

_log = structlog.get_logger()


@dataclass
class MutationLoop:
    """Applies what the inbox holds whenever its event is set, and undoes changes."""

    inbox: MutationInbox
    applier: Applier[Settings]
    journal: Journal
    configuration: Configuration
    board: Board
    wake_heartbeat: WakeEvent
    """Set when there is an outcome to send, or another text to report."""
    deadlines: Deadlines
    draw: Draw
    conflicts: defaultdict[str, FailureReporter] = field(
        default_factory=lambda: defaultdict(FailureReporter)
    )
    """Reporters of mutations that were delivered again with other content, by id."""

    def __post_init__(self) -> None:
        """Create the reporter of rounds that fail."""
        self.stalls = FailureReporter(board=self.board, subject="config")

    async def run(self) -> None:
        """Apply mutations; never return.

        The first round, at start, finishes what the last run left.
        """
        self.configuration.on_change(self.inbox.wake_event.set)
        self.inbox.wake_event.set()
        retry, wait = RETRY, None
        while True:
            self.deadlines.remove("mutations")  # it may wait without limit
            await self.inbox.wake_event.wait(within=wait)
            self.deadlines.set("mutations", anyio.current_time() + ROUND_SECONDS)
            try:
                wait, retry = await self._round(), RETRY
            except RenseiError as error:
                delay, retry = retry.next(self.draw)
                wait = max(delay, 0.25)
                await self._report_stall(error)

    async def roll_back(
        self, number: int, *, requested_by: str, dry_run: bool
    ) -> tuple[Document, Document]:
        """Undo a change, put the result in force, and return the text before and after.

        Raise what `Applier.roll_back` raises.
        """
        undo = partial(
            self.applier.roll_back, number, requested_by=requested_by, dry_run=dry_run
        )
        async with self.configuration.turn:
            before, after = await run_in_thread(undo)
            if not dry_run:
                _log.info("config.rolled_back", change=number, requested_by=requested_by)
                await self.configuration.adopt(after, self.board)
                self.wake_heartbeat.set()
        return before.document, after.document

    async def _round(self) -> float | None:
        """Apply what is undecided, report it, and put the new text in force.

        The journal may have no space for deliveries until what it holds has its outcome:
        then return the seconds until the next attempt to store them.
        """
        taken = self.inbox.take()
        await self._report_taken(taken)
        not_stored = await self.inbox.store()
        async with self.configuration.turn:
            apply = partial(self.applier.apply, restore_pool=taken.pool_is_ok)
            outcomes, today = await run_in_thread(apply)
            health = await anyio.to_thread.run_sync(self.journal.records.health)
            self._report_round(not_stored)
            await self._report(outcomes, health)
            await self.configuration.adopt(today, self.board)
        if outcomes or taken.refused:
            self.wake_heartbeat.set()
        if health.waiting:  # a round is bounded; the next one takes the rest
            self.inbox.wake_event.set()
        return STORE_AGAIN_SECONDS if not_stored else None

    def _report_round(self, not_stored: StorageError | None) -> None:
        if not_stored is None:
            self.stalls.report_recovery("mutations.resumed")
        else:
            self.stalls.clear_alarms()  # the inbox has raised its own
            self.stalls.report_error("mutations.stalled", not_stored, level="error")

    async def _report(self, outcomes: Sequence[Outcome], health: MutationsHealth) -> None:
        self.board.post(health)
        async for outcome in _in_turns(outcomes):
            log = _log.bind(mutation_id=outcome.id, op=outcome.cause)
            if outcome.error:
                log.warning("mutation.failed", error=outcome.error)
            else:
                changed = bool(outcome.edits)
                log.info("mutation.applied", changed=changed, ignored=outcome.ignored)

    async def _report_taken(self, taken: InboxBatch) -> None:
        async for mutation in _in_turns(taken.refused):
            log = _log.bind(mutation_id=mutation.id, op=mutation.op)
            log.warning("mutation.failed", error=mutation.refusal)
        async for mutation in _in_turns(taken.conflicts):
            reporter = self.conflicts[mutation.id]
            reporter.report_failure(
                "mutation.conflicted", mutation_id=mutation.id, op=mutation.op
            )
            self.board.raise_alarm(
                Code.MUTATION_CONFLICT,
                f"mutation {mutation.id} came again with other content; "
                "it was answered with the outcome on record",
                hint=f"ask who changed it: rensei-daemon logs --mutation {mutation.id}",
                now=CLOCK.now(),
                subject=mutation.id,
            )

    async def _report_stall(self, error: RenseiError) -> None:
        is_storage = isinstance(error, StorageError)
        alarm = Code.STORAGE if is_storage else None
        self.stalls.report_error("mutations.stalled", error, level="error", alarm=alarm)
        if not is_storage:
            self.configuration.refuse(error, self.board)
        with suppress(StorageError):  # then the journal itself has failed
            health = await anyio.to_thread.run_sync(self.journal.records.health)
            self.board.post(health)


async def _in_turns(items: Sequence[_T]) -> AsyncIterator[_T]:
    """Yield all items; let other tasks run after every `LINES_A_TURN` of them."""
    for number, item in enumerate(items):
        if number % LINES_A_TURN == 0:
            await anyio.lowlevel.cancel_shielded_checkpoint()
        yield item
