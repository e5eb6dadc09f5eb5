"""The applier: it brings mutations to their outcome, through journal and file. It blocks.

Each step is durable when it returns. After a crash between two steps, the content of the
file decides at the next start:

=====================  ==========================  =================================
the daemon died        the file is                 then
=====================  ==========================  =================================
before the intent      what it was                 the mutation is planned anew
after the intent       what it was                 the same; the old intent is dropped
after the replace      what the intent says        only the outcome is recorded
any of these           edited by a person since    it is planned on today's text
after the outcome      anything                    the outcome is sent
=====================  ==========================  =================================
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Generic

from rensei_daemon.core.config_entries import without_empty_containers
from rensei_daemon.core.document import Document, SettingsT, ValidConfig
from rensei_daemon.core.document_editing import Validate, apply_all, rewritten
from rensei_daemon.core.edit import Edit, edited_copy, same
from rensei_daemon.core.guards import Guards
from rensei_daemon.core.history import ChangeDetail, no_change, reversal
from rensei_daemon.core.mutation import Mutation, Op, PoolRestored, parse_mutation
from rensei_daemon.core.mutation_state import (
    MAX_CRASHES,
    POISON,
    Outcome,
    RecoveryAction,
    recovery,
)
from rensei_daemon.core.pending_mutation import PendingMutation
from rensei_daemon.disk.config_file import ConcurrentEditError, ConfigFile
from rensei_daemon.disk.journal import Journal
from rensei_daemon.errors import MutationError, RenseiError, StorageError
from rensei_daemon.fast_dataclass import replace

TRIES_PER_EDIT = 3
"""How often an edit is tried while a person saves at the same moment."""

PRUNE_AFTER = timedelta(days=1)

Planned = tuple[ValidConfig[SettingsT], list[Outcome]]
Plan = Callable[[ValidConfig[SettingsT], datetime], Planned[SettingsT]]
"""Return the new text and the outcomes for today's text and a time; write nothing."""


class Applier(Generic[SettingsT]):
    """Applies mutations to the file on disk.

    Every method blocks. The caller runs one at a time, and puts the text that it returns
    in force before the next one. `read` returns today's text, validated; it raises
    `SettingsError` if the text cannot be used. `accept` validates an edited text.
    """

    def __init__(
        self,
        file: ConfigFile,
        journal: Journal,
        *,
        read: Callable[[], ValidConfig[SettingsT]],
        accept: Validate[SettingsT],
        guards: Callable[[], Guards],
        boot_id: str,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._file = file
        self._journal = journal
        self._read = read
        self._accept = accept
        self._guards = guards
        self._boot_id = boot_id
        self._now = now
        self._is_settled = False
        self._pruned_at = now()

    def apply(
        self, *, restore_pool: bool = False
    ) -> tuple[list[Outcome], ValidConfig[SettingsT] | None]:
        """Bring everything undecided in the journal to its outcome.

        Return the outcomes and the text in the file; None if the file was not read. Raise
        `SettingsError` if today's file cannot be used, or `StorageError`: mutations without
        an outcome then keep waiting.
        """
        outcomes: list[Outcome] = []
        today: ValidConfig[SettingsT] | None = None
        try:
            self._finish_interrupted()
            self._prune_daily()
            for batch in self._journal.undecided():
                if self._is_poison(batch):
                    outcomes.append(self._give_up(batch[0]))
                    continue
                self._journal.attempts.begin([mutation.id for mutation in batch])
                today, decided = self._change(self._plan_of(batch))
                outcomes += decided
            # If a deletion is not acknowledged yet, the platform's "ok" is older than it.
            if restore_pool and not self._journal.has_unfinished(Op.POOL_DELETED):
                today, _ = self._change(self._restore_pool)
        except RenseiError:
            with suppress(StorageError):  # the first error says more
                self._journal.attempts.end()
            raise
        return outcomes, today

    def _change(self, plan: Plan[SettingsT]) -> Planned[SettingsT]:
        """Change the file once; each step is durable before the next one begins."""
        tries = 0
        while True:
            now, tries = self._now(), tries + 1
            # 1. Work it out on today's text. Nothing is written.
            before = self._read()
            after, outcomes = plan(before, now)
            # 2. Record the intent: the text before, the text after, and each outcome.
            self._journal.intend(outcomes, before.document, after.document, now)
            # 3. Replace the file.
            try:
                if after.document.text != before.document.text:
                    self._file.replace(before.document, after.document)
            except ConcurrentEditError:
                if tries == TRIES_PER_EDIT:
                    raise
                continue
            # 4. Record the outcomes. From here on they are owed to the platform as acks.
            self._journal.record_applied(self._now())
            return after, outcomes

    def _plan_of(self, batch: Sequence[PendingMutation]) -> Plan[SettingsT]:
        mutations = [self._parsed(pending) for pending in batch]

        def plan(before: ValidConfig[SettingsT], now: datetime) -> Planned[SettingsT]:
            after, outcomes = apply_all(mutations, before, self._accept, now)
            return after, [
                replace(outcome, id=pending.id, cause=pending.op)
                for pending, outcome in zip(batch, outcomes, strict=True)
            ]

        return plan

    def _parsed(self, pending: PendingMutation) -> Mutation | MutationError:
        try:
            mutation = parse_mutation(pending.op, pending.params)
            self._guards().check(pending.op, mutation)
        except MutationError as error:
            return error
        return mutation

    def _restore_pool(
        self, before: ValidConfig[SettingsT], now: datetime
    ) -> Planned[SettingsT]:
        after, [outcome] = apply_all([PoolRestored()], before, self._accept, now)
        return after, [replace(outcome, cause="pool restored")]

    def _is_poison(self, batch: Sequence[PendingMutation]) -> bool:
        return (
            len(batch) == 1 and self._journal.attempts.crashes(batch[0].id) >= MAX_CRASHES
        )

    def _give_up(self, mutation: PendingMutation) -> Outcome:
        self._journal.reject(mutation.id, POISON, self._now())
        return Outcome(id=mutation.id, cause=mutation.op, error=POISON)

    def roll_back(
        self, number: int, *, requested_by: str, dry_run: bool = False
    ) -> tuple[ValidConfig[SettingsT], ValidConfig[SettingsT]]:
        """Undo one change on today's text; return the text before and after.

        The rollback is recorded as a change of its own; with `dry_run` it is only planned.
        Raise `UsageError` if there is no such change, `ConflictingMutationError` if today's
        values are no longer those that it wrote, and what `apply` raises.
        """
        records = self._journal.records
        change = records.change(number)
        if change is None:
            raise no_change(number)
        edits = records.edits(number)
        others = [e for n in sorted(change["together_with"]) for e in records.edits(n)]
        texts: list[ValidConfig[SettingsT]] = []

        def plan(before: ValidConfig[SettingsT], _: datetime) -> Planned[SettingsT]:
            undone = tuple(reversal(number, edits, before.document.tree))
            after = self._undone(before, undone, change, others)
            texts[:] = before, after
            cause = f"rollback of change {number}"
            return after, [Outcome(cause=cause, edits=undone, requested_by=requested_by)]

        self._finish_interrupted()
        if dry_run:
            plan(self._read(), self._now())
        else:
            self._change(plan)
        return texts[0], texts[1]

    def _undone(
        self,
        before: ValidConfig[SettingsT],
        edits: Sequence[Edit],
        change: ChangeDetail,
        others: Sequence[Edit],
    ) -> ValidConfig[SettingsT]:
        """Return the text with a change undone.

        If it was the last change, start from the text before it, and apply the other
        changes of its batch: this brings back the bytes and comments that it removed.
        """
        values = edited_copy(before.document.tree, edits)
        if change["before"] is not None and before.document.text == change["after"]:
            original = Document(change["before"])
            with suppress(RenseiError):  # start from today's text instead
                valid = ValidConfig(original, self._accept(original))
                again = rewritten(valid, edited_copy(original.tree, others), self._accept)
                if same(*map(without_empty_containers, (again.document.tree, values))):
                    return again
        return rewritten(before, values, self._accept)

    def settle(self) -> None:
        """Finish what a crash interrupted; called once, before anything is applied."""
        self._journal.attempts.count_crashes(self._boot_id)
        before, after = self._journal.intended_digests()
        if self._journal.has_intents():
            self._file.recover(before=before, after=after)
        self._resume()
        self._prune()
        self._is_settled = True

    def _finish_interrupted(self) -> None:
        if self._is_settled:
            self._resume()
        else:
            self.settle()

    def _resume(self) -> None:
        """Record the outcome of an intent whose text is in the file already.

        A crash leaves such an intent, and so does a disk that fails after the replace,
        perhaps before the new file's name was flushed.
        """
        if self._journal.has_intents():
            _, after = self._journal.intended_digests()
            today = self._file.read().digest
            if recovery(after=after, today=today) is RecoveryAction.RECORD:
                self._file.flush_name()
                self._journal.record_applied(self._now())

    def _prune_daily(self) -> None:
        if self._now() - self._pruned_at > PRUNE_AFTER:
            self._prune()

    def _prune(self) -> None:
        self._pruned_at = self._now()
        self._journal.budget.prune(self._pruned_at)
