"""From a delivered mutation to a recorded outcome; the sole writer of `config.toml`.

::

    answer ─▶ Inbox ─▶ receive ─▶ take off ─▶ plan ─▶ intend ─▶ replace ─▶ record ─▶ bell
                      (journal)   (journal)  (core)  (journal)  (file)   (journal)   │
    next beat ◀── acks, until one is answered ◀──────────────────────────────────────┘

Each step in brackets is durable when it returns, and a crash between any two of them is
settled by `Applier.settle` at the next start. An outcome is never sent before it is
recorded, and what is recorded is sent until the platform has answered.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import anyio
import anyio.to_thread
import structlog

from rensei_daemon.core.backoff import Backoff
from rensei_daemon.core.board import Board
from rensei_daemon.core.conditions import Code
from rensei_daemon.core.document import Document, apply_all
from rensei_daemon.core.guards import Guards
from rensei_daemon.core.journal import MAX_DEATHS, POISON, Planned, Recovery, recovery
from rensei_daemon.core.lines import LastMutation, MutationsLine
from rensei_daemon.core.mutation import (
    Mutation,
    PendingMutation,
    PoolRestored,
    parse_mutation,
)
from rensei_daemon.disk.config import ConfigFile, EditedMeanwhileError
from rensei_daemon.disk.journal import Journal
from rensei_daemon.errors import MutationError, RenseiError, StorageError
from rensei_daemon.settings.loading import accept
from rensei_daemon.tasks.bell import Bell
from rensei_daemon.tasks.configuration import Configuration

TRIES_PER_EDIT = 3
"""How often a person may save at the very moment we do before we come back later."""

_log = structlog.get_logger()


class Inbox:
    """What the heartbeat last brought. The platform repeats what it has not heard of."""

    def __init__(self) -> None:
        self.bell = Bell()
        self._delivered: tuple[PendingMutation, ...] = ()
        self._pool_is_ok = False

    def put(
        self, delivered: Sequence[PendingMutation], *, pool_is_ok: bool = False
    ) -> None:
        """Leave an answer's mutations, and whether it calls a deleted pool well again."""
        if delivered or pool_is_ok:
            self._delivered = tuple(delivered)
            self._pool_is_ok = pool_is_ok
            self.bell.ring()

    def take(self) -> tuple[tuple[PendingMutation, ...], bool]:
        """Take what is there."""
        taken = self._delivered, self._pool_is_ok
        self._delivered, self._pool_is_ok = (), False
        return taken


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """One outcome, for the log."""

    id: str
    op: str
    error: str
    changed: bool


class Applier:
    """Applies mutations to the file on disk; every method blocks.

    `check` raises `SettingsError` for a text that cannot be used, and so not be edited.
    """

    def __init__(
        self,
        file: ConfigFile,
        journal: Journal,
        *,
        check: Callable[[Document], object],
        guards: Callable[[], Guards],
        boot_id: str,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._file = file
        self._journal = journal
        self._check = check
        self._guards = guards
        self._boot_id = boot_id
        self._now = now
        self._is_settled = False

    def apply(
        self, delivered: Sequence[PendingMutation], *, restore_pool: bool = False
    ) -> tuple[list[Decided], tuple[PendingMutation, ...]]:
        """Bring everything undecided to its outcome.

        Returns the outcomes and, of what was delivered, what came again with other
        content. Raises `SettingsError` when today's file cannot be edited, and
        `StorageError`; what had no outcome then still has none.
        """
        try:
            return self._apply(delivered, restore_pool)
        except RenseiError:
            with suppress(StorageError):  # the one on its way out says more
                self._journal.land()
            raise

    def _apply(
        self, delivered: Sequence[PendingMutation], restore_pool: bool
    ) -> tuple[list[Decided], tuple[PendingMutation, ...]]:
        if not self._is_settled:
            self.settle()
        conflicts = self._journal.receive(delivered, self._now())
        decided: list[Decided] = []
        for batch in self._journal.undecided():
            if len(batch) == 1 and self._journal.deaths(batch[0].id) >= MAX_DEATHS:
                decided.append(self._give_up(batch[0]))
            else:
                decided += self._apply_batch(batch)
        if restore_pool:
            self._apply_plan([(None, PoolRestored())])
        return decided, conflicts

    def settle(self) -> None:
        """Finish what a crash cut short; once, before anything is applied."""
        self._journal.note_deaths(self._boot_id)
        before, after = self._journal.intended_digests()
        self._file.recover(before=before, after=after)
        if self._journal.has_intents():
            today = self._file.read().digest
            if recovery(after=after, today=today) is Recovery.RECORD:
                self._journal.record_applied(self._now())
        self._journal.prune(self._now())
        self._is_settled = True

    def _give_up(self, mutation: PendingMutation) -> Decided:
        self._journal.reject(mutation.id, POISON, self._now())
        return Decided(id=mutation.id, op=mutation.op, error=POISON, changed=False)

    def _apply_batch(self, batch: Sequence[PendingMutation]) -> list[Decided]:
        self._journal.take_off([mutation.id for mutation in batch])
        return self._apply_plan([(pending, self._understood(pending)) for pending in batch])

    def _understood(self, pending: PendingMutation) -> Mutation | MutationError:
        try:
            mutation = parse_mutation(pending.op, pending.params)
            self._guards().check(pending.op, mutation)
        except MutationError as error:
            return error
        return mutation

    def _apply_plan(self, requests: Sequence["_Request"]) -> list[Decided]:
        for _ in range(TRIES_PER_EDIT - 1):
            try:
                return self._try_plan(requests)
            except EditedMeanwhileError:
                continue
        return self._try_plan(requests)

    def _try_plan(self, requests: Sequence["_Request"]) -> list[Decided]:
        now = self._now()
        before = self._file.read()
        self._check(before)
        after, plan = _plan(requests, before, now)
        self._journal.intend(plan, before, after, now)
        if after.text != before.text:
            self._file.replace(before, after)
        self._journal.record_applied(self._now())
        return [
            Decided(
                id=planned.id,
                op=planned.cause,
                error=planned.error,
                changed=bool(planned.edits),
            )
            for planned in plan
            if planned.id
        ]


_Request = tuple[PendingMutation | None, Mutation | PoolRestored | MutationError]
"""What was asked (None: by ourselves), and what it was understood as."""


def _plan(
    requests: Sequence[_Request], before: Document, now: datetime
) -> tuple[Document, list[Planned]]:
    """Work out the new text, and what each request will come to."""
    understood = [wanted for _, wanted in requests if not isinstance(wanted, MutationError)]
    after, outcomes = apply_all(understood, before, accept, now)
    remaining = iter(outcomes)
    plan = []
    for pending, wanted in requests:
        outcome = None if isinstance(wanted, MutationError) else next(remaining)
        error = wanted if outcome is None else outcome.error
        plan.append(
            Planned(
                id=pending.id if pending else "",
                cause=pending.op if pending else "pool restored",
                edits=outcome.edits if outcome and not error else (),
                error=str(error) if error else "",
            )
        )
    return after, plan


async def apply_mutations(
    inbox: Inbox,
    applier: Applier,
    journal: Journal,
    configuration: Configuration,
    board: Board,
    *,
    beat: Bell,
    draw: Callable[[float, float], float],
) -> None:
    """Apply whatever the inbox holds, whenever its bell rings; never returns.

    The first round, at start, settles what the last run left. `beat` is rung when there
    is an outcome to tell.
    """
    configuration.on_change(inbox.bell.ring)
    backoff = Backoff(base_seconds=1.0, cap_seconds=60.0)
    wait: float | None = None
    delivered: tuple[PendingMutation, ...] = ()
    restore_pool = False
    inbox.bell.ring()
    while True:
        await inbox.bell.heard(within=wait)
        fresh, pool_is_ok = inbox.take()
        delivered, restore_pool = fresh or delivered, restore_pool or pool_is_ok
        try:
            decided, conflicts = await anyio.to_thread.run_sync(
                lambda d, r: applier.apply(d, restore_pool=r), delivered, restore_pool
            )
            document = await anyio.to_thread.run_sync(configuration.file.read)
            settings = configuration.check(document)
        except RenseiError as error:
            delay, backoff = backoff.next(draw)
            wait = max(delay, 0.25)
            _report_trouble(error, configuration, board)
            continue
        delivered, restore_pool, wait = (), False, None
        backoff = Backoff(base_seconds=1.0, cap_seconds=60.0)
        board.clear(Code.STORAGE, "config")
        configuration.adopt(document, settings, board)
        _report(decided, conflicts, board)
        board.post(await anyio.to_thread.run_sync(mutations_line, journal))
        if decided:
            beat.ring()
            await anyio.to_thread.run_sync(configuration.keep_last_good)


def _report(
    decided: Sequence[Decided], conflicts: Sequence[PendingMutation], board: Board
) -> None:
    for outcome in decided:
        log = _log.bind(mutation_id=outcome.id, op=outcome.op)
        if outcome.error:
            log.warning("mutation.failed", error=outcome.error)
        else:
            log.info("mutation.applied", changed=outcome.changed)
    for mutation in conflicts:
        _log.warning("mutation.conflicted", mutation_id=mutation.id, op=mutation.op)
        board.raise_alarm(
            Code.MUTATION_CONFLICT,
            f"mutation {mutation.id} came again with other content; "
            "it was answered with the outcome on record",
            hint=f"ask who changed it: rensei-daemon logs --mutation {mutation.id}",
            now=datetime.now(UTC),
            subject=mutation.id,
        )


def _report_trouble(error: RenseiError, configuration: Configuration, board: Board) -> None:
    if isinstance(error, StorageError):
        if (Code.STORAGE, "config") not in board.alarms:
            _log.error("mutations.stalled", error=str(error), hint=error.hint)
        board.raise_alarm(
            Code.STORAGE,
            str(error),
            hint=error.hint,
            now=datetime.now(UTC),
            subject="config",
        )
    else:
        if board.config.valid:
            _log.error("mutations.stalled", error=str(error), hint=error.hint)
        configuration.refuse(error, board)


def mutations_line(journal: Journal) -> MutationsLine:
    """Read the journal's figures for the board; blocks."""
    counts, latest = journal.counts(), journal.latest()
    last = None
    if latest is not None:
        last = LastMutation(
            id=latest["id"],
            op=latest["op"],
            outcome="failed" if latest["error"] else "applied",
            message=latest["error"],
            at=datetime.fromisoformat(latest["decided_at"]),
        )
    return MutationsLine(
        applied=counts.applied,
        failed=counts.failed,
        unacknowledged=counts.unacknowledged,
        last=last,
    )
