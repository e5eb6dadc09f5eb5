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
from datetime import datetime
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
from rensei_daemon.core.health import LastMutation, MutationsHealth
from rensei_daemon.core.liveness import Deadlines
from rensei_daemon.core.outcome import Outcome
from rensei_daemon.disk.applier import Applier
from rensei_daemon.disk.journal import Journal
from rensei_daemon.errors import RenseiError, StorageError
from rensei_daemon.failure_reporter import FailureReporter
from rensei_daemon.settings.model import Settings
from rensei_daemon.tasks.configuration import Configuration
from rensei_daemon.tasks.mutation_inbox import InboxBatch, MutationInbox
from rensei_daemon.tasks.wake_event import WakeEvent

LINES_A_TURN = 32
"""Lines logged before other tasks run: a line takes a tenth of a millisecond."""

ROUND_SECONDS = 300.0
"""The longest a round can take, a slow disk and a slow editor included."""

STORE_AGAIN_SECONDS = 5.0
"""The wait before another attempt when the journal did not take what was delivered."""

RETRY = Backoff(base_seconds=1.0, cap_seconds=60.0)

Conflicts = defaultdict[str, FailureReporter]
"""Reporters of mutations that were delivered again with other content, by id."""

_T = TypeVar("_T")

_log = structlog.get_logger()


async def apply_mutations(
    inbox: MutationInbox,
    applier: Applier[Settings],
    journal: Journal,
    configuration: Configuration,
    board: Board,
    *,
    beat: WakeEvent,
    deadlines: Deadlines,
    draw: Draw,
) -> None:
    """Apply what the inbox holds, whenever its event is set; never return.

    The first round, at start, finishes what the last run left. `beat` is set when there is
    an outcome to send.
    """
    configuration.on_change(inbox.wake_event.set)
    retry, conflicting = RETRY, Conflicts(FailureReporter)
    stalls = FailureReporter(board=board, subject="config")
    wait: float | None = None
    inbox.wake_event.set()
    while True:
        deadlines.remove("mutations")  # it may wait without limit
        await inbox.wake_event.wait(within=wait)
        deadlines.set("mutations", anyio.current_time() + ROUND_SECONDS)
        taken = inbox.take()
        await _report_taken(taken, conflicting, board)
        try:
            outcomes, line, not_stored = await _round(
                inbox,
                applier,
                journal,
                configuration,
                board,
                stalls,
                restore_pool=taken.pool_is_ok,
            )
        except RenseiError as error:
            delay, retry = retry.next(draw)
            wait = max(delay, 0.25)
            await _report_stall(error, stalls, journal, configuration, board)
            continue
        wait, retry = STORE_AGAIN_SECONDS if not_stored else None, RETRY
        if outcomes or taken.refused:
            beat.set()
        if line.waiting:  # a round is bounded; the next one takes the rest
            inbox.wake_event.set()


async def _round(
    inbox: MutationInbox,
    applier: Applier[Settings],
    journal: Journal,
    configuration: Configuration,
    board: Board,
    stalls: FailureReporter,
    *,
    restore_pool: bool,
) -> tuple[list[Outcome], MutationsHealth, StorageError | None]:
    """Apply what is undecided, report it, and put the new text in force.

    Return the outcomes, the journal's figures, and why deliveries still wait: the journal
    may have no room for them until what it holds has its outcome, so the round goes on.
    """
    not_stored = await inbox.store()
    async with configuration.turn:
        apply = partial(applier.apply, restore_pool=restore_pool)
        outcomes, today = await anyio.to_thread.run_sync(apply)
        line = await anyio.to_thread.run_sync(mutations_line, journal)
        _report_round(not_stored, stalls)
        await _report(outcomes, line, board)
        configuration.adopt(today, board)
    return outcomes, line, not_stored


def _report_round(not_stored: StorageError | None, stalls: FailureReporter) -> None:
    if not_stored is None:
        stalls.report_recovery("mutations.resumed")
    else:
        stalls.clear_alarms()  # the inbox has raised its own
        stalls.report_error("mutations.stalled", not_stored, level="error")


async def _report(outcomes: Sequence[Outcome], line: MutationsHealth, board: Board) -> None:
    board.post(line)
    async for outcome in _in_turns(outcomes):
        log = _log.bind(mutation_id=outcome.id, op=outcome.cause)
        if outcome.error:
            log.warning("mutation.failed", error=outcome.error)
        else:
            changed = bool(outcome.edits)
            log.info("mutation.applied", changed=changed, ignored=outcome.ignored)


async def _in_turns(items: Sequence[_T]) -> AsyncIterator[_T]:
    """Yield all items; let other tasks run after every `LINES_A_TURN` of them."""
    for number, item in enumerate(items):
        if number % LINES_A_TURN == 0:
            await anyio.lowlevel.cancel_shielded_checkpoint()
        yield item


async def _report_taken(taken: InboxBatch, conflicting: Conflicts, board: Board) -> None:
    async for mutation in _in_turns(taken.refused):
        log = _log.bind(mutation_id=mutation.id, op=mutation.op)
        log.warning("mutation.failed", error=mutation.refusal)
    async for mutation in _in_turns(taken.conflicts):
        reporter = conflicting[mutation.id]
        reporter.report_failure(
            "mutation.conflicted", mutation_id=mutation.id, op=mutation.op
        )
        board.raise_alarm(
            Code.MUTATION_CONFLICT,
            f"mutation {mutation.id} came again with other content; "
            "it was answered with the outcome on record",
            hint=f"ask who changed it: rensei-daemon logs --mutation {mutation.id}",
            now=CLOCK.now(),
            subject=mutation.id,
        )


async def _report_stall(
    error: RenseiError,
    stalls: FailureReporter,
    journal: Journal,
    configuration: Configuration,
    board: Board,
) -> None:
    is_storage = isinstance(error, StorageError)
    alarm = Code.STORAGE if is_storage else None
    stalls.report_error("mutations.stalled", error, level="error", alarm=alarm)
    if not is_storage:
        configuration.refuse(error, board)
    with suppress(StorageError):  # then the journal itself has failed
        board.post(await anyio.to_thread.run_sync(mutations_line, journal))


def mutations_line(journal: Journal) -> MutationsHealth:
    """Return the journal's counts for the board; block."""
    counts, latest = journal.records.counts(), journal.records.latest()
    last = None
    if latest is not None:
        last = LastMutation(
            id=latest["id"],
            op=latest["op"],
            outcome="failed" if latest["error"] else "applied",
            message=latest["error"],
            at=datetime.fromisoformat(latest["decided_at"]),
        )
    return MutationsHealth(
        applied=counts.applied,
        failed=counts.failed,
        unacknowledged=counts.unacknowledged,
        waiting=counts.waiting,
        last=last,
    )
