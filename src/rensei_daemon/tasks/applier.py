"""Bringing mutations to their outcome: journal, plan, file, journal. It blocks.

Each step is durable when it returns, and a crash between any two of them is settled at
the next start, by what the file then is:

=====================  ==========================  ================================
the daemon died        the file is                 then
=====================  ==========================  ================================
before the intent      what it was                 it is planned as if delivered now
after the intent       what it was                 the same; the old intent is dropped
after the replace      what the intent says        only the outcome is recorded
any of these           edited by a person since    it is planned on today's text
after the outcome      anything                    the outcome is sent
=====================  ==========================  ================================
"""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from rensei_daemon.core.config_entries import without_empty_containers
from rensei_daemon.core.document import Document, apply_all, rewritten
from rensei_daemon.core.edit import Edit, edited_copy, same
from rensei_daemon.core.guards import Guards
from rensei_daemon.core.history import ChangeDetail, reversal
from rensei_daemon.core.mutation import (
    ModelAccessSet,
    Mutation,
    Op,
    PoolRestored,
    parse_mutation,
)
from rensei_daemon.core.mutation_state import (
    MAX_DEATHS,
    POISON,
    Planned,
    RecoveryAction,
    recovery,
)
from rensei_daemon.core.pending_mutation import PendingMutation
from rensei_daemon.disk.config_file import ConcurrentEditError, ConfigFile
from rensei_daemon.disk.journal import Journal
from rensei_daemon.errors import MutationError, RenseiError, StorageError, UsageError
from rensei_daemon.settings.loading import check_settings

TRIES_PER_EDIT = 3
"""How often a person may save at the very moment we do before we come back later."""


PRUNE_AFTER = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """One outcome, for the log."""

    id: str
    op: str
    error: str
    changed: bool
    ignored: tuple[str, ...] = ()
    """Dotted names of what the mutation carried and no file of ours can say."""


class Applier:
    """Applies mutations to the file on disk; every method blocks, and takes its turn.

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
        self._pruned_at = now()
        self._turn = threading.Lock()

    def apply(self, *, restore_pool: bool = False) -> list[Decided]:
        """Bring everything undecided in the journal to its outcome.

        Raises `SettingsError` when today's file cannot be edited, and `StorageError`;
        what had no outcome then still has none.
        """
        with self._turn:
            try:
                return self._apply(restore_pool=restore_pool)
            except RenseiError:
                with suppress(StorageError):  # the one on its way out says more
                    self._journal.attempts.end()
                raise

    def roll_back(
        self, number: int, *, requested_by: str, dry_run: bool = False
    ) -> tuple[Document, Document]:
        """Undo one change on today's text; return the text before and after.

        It is a change of its own, on record like any other. With `dry_run` it is only
        worked out. Raises `UsageError` when there is no such change,
        `ConflictingMutationError` when today's values are no longer what it wrote, and
        what `apply` raises.
        """
        change = self._journal.records.change(number)
        if change is None:
            hint = "see which there are: rensei-daemon config history"
            raise UsageError(f"there is no change {number} on record", hint=hint)
        records = self._journal.records
        edits = records.edits(number)
        others = [e for n in sorted(change["together_with"]) for e in records.edits(n)]
        texts: list[Document] = []

        def plan(before: Document, _: datetime) -> tuple[Document, list[Planned]]:
            undone = tuple(reversal(number, edits, before.tree))
            after = _undone(before, undone, change, others)
            texts[:] = before, after
            cause = f"rollback of change {number}"
            return after, [
                Planned(id="", cause=cause, edits=undone, requested_by=requested_by)
            ]

        with self._turn:
            self._settle_or_resume()
            if dry_run:
                before = self._file.read()
                self._check(before)
                plan(before, self._now())
            else:
                self._make(plan)
        return texts[0], texts[1]

    def _apply(self, *, restore_pool: bool) -> list[Decided]:
        self._settle_or_resume()
        if self._now() - self._pruned_at > PRUNE_AFTER:
            self._prune()
        decided: list[Decided] = []
        for batch in self._journal.undecided():
            if (
                len(batch) == 1
                and self._journal.attempts.crashes(batch[0].id) >= MAX_DEATHS
            ):
                decided.append(self._give_up(batch[0]))
            else:
                decided += self._apply_batch(batch)
        # One that was deleted since the platform called it well must be heard of first.
        if restore_pool and not self._journal.owes(Op.POOL_DELETED):
            self._apply_plan([(None, PoolRestored())])
        return decided

    def settle(self) -> None:
        """Finish what a crash cut short; once, before anything is applied."""
        self._journal.attempts.count_crashes(self._boot_id)
        if self._journal.has_intents():
            before, after = self._journal.intended_digests()
            self._file.recover(before=before, after=after)
        self._resume()
        self._prune()
        self._is_settled = True

    def _settle_or_resume(self) -> None:
        if self._is_settled:
            self._resume()
        else:
            self.settle()

    def _resume(self) -> None:
        """Record the outcome of an intent that is on disk already.

        A crash leaves one, and so does a disk that took the file and not the record.
        """
        if self._journal.has_intents():
            _, after = self._journal.intended_digests()
            today = self._file.read().digest
            if recovery(after=after, today=today) is RecoveryAction.RECORD:
                self._journal.record_applied(self._now())

    def _prune(self) -> None:
        self._pruned_at = self._now()
        self._journal.budget.prune(self._pruned_at)

    def _give_up(self, mutation: PendingMutation) -> Decided:
        self._journal.reject(mutation.id, POISON, self._now())
        return Decided(id=mutation.id, op=mutation.op, error=POISON, changed=False)

    def _apply_batch(self, batch: Sequence[PendingMutation]) -> list[Decided]:
        self._journal.attempts.begin([mutation.id for mutation in batch])
        return self._apply_plan([(pending, self._understood(pending)) for pending in batch])

    def _understood(self, pending: PendingMutation) -> Mutation | MutationError:
        try:
            mutation = parse_mutation(pending.op, pending.params)
            self._guards().check(pending.op, mutation)
        except MutationError as error:
            return error
        return mutation

    def _apply_plan(self, requests: Sequence["_Request"]) -> list[Decided]:
        plan = self._make(lambda before, now: _plan(requests, before, now))
        return [
            Decided(
                id=planned.id,
                op=planned.cause,
                error=planned.error,
                changed=bool(planned.edits),
                ignored=() if planned.error else _ignored(wanted),
            )
            for planned, (_, wanted) in zip(plan, requests, strict=True)
            if planned.id
        ]

    def _make(self, plan: "_Plan") -> list[Planned]:
        for _ in range(TRIES_PER_EDIT - 1):
            try:
                return self._try(plan)
            except ConcurrentEditError:
                continue
        return self._try(plan)

    def _try(self, plan: "_Plan") -> list[Planned]:
        now = self._now()
        before = self._file.read()
        self._check(before)
        after, planned = plan(before, now)
        self._journal.intend(planned, before, after, now)
        if after.text != before.text:
            self._file.replace(before, after)
        self._journal.record_applied(self._now())
        return planned


_Plan = Callable[[Document, datetime], tuple[Document, list[Planned]]]
"""Works out, on today's text, the new one and what each request will come to."""

_Request = tuple[PendingMutation | None, Mutation | PoolRestored | MutationError]
"""What was asked (None: by ourselves), and what it was understood as."""


def _ignored(wanted: Mutation | PoolRestored | MutationError) -> tuple[str, ...]:
    return wanted.ignored if isinstance(wanted, ModelAccessSet) else ()


def _plan(
    requests: Sequence[_Request], before: Document, now: datetime
) -> tuple[Document, list[Planned]]:
    """Work out the new text, and what each request will come to."""
    understood = [wanted for _, wanted in requests if not isinstance(wanted, MutationError)]
    after, outcomes = apply_all(understood, before, check_settings, now)
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


def _undone(
    before: Document,
    edits: Sequence[Edit],
    change: ChangeDetail,
    others: Sequence[Edit],
) -> Document:
    """Return the text with a change undone.

    Where nothing has happened since, that is the text it was made on with what was made
    together with it: the very bytes, with the comments that the change took along.
    """
    values = edited_copy(before.tree, edits)
    if change["before"] is not None and before.text == change["after"]:
        original = Document(change["before"])
        with suppress(MutationError):
            again = rewritten(original, edited_copy(original.tree, others), check_settings)
            if same(*map(without_empty_containers, (again.tree, values))):
                return again
    return rewritten(before, values, check_settings)
