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

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from rensei_daemon.core.config_entries import without_empty_containers
from rensei_daemon.core.document import Document, ValidConfig, apply_all, rewritten
from rensei_daemon.core.edit import Edit, edited_copy, same
from rensei_daemon.core.guards import Guards
from rensei_daemon.core.history import ChangeDetail, no_change, reversal
from rensei_daemon.core.mutation import Mutation, Op, PoolRestored, parse_mutation
from rensei_daemon.core.mutation_state import MAX_DEATHS, POISON, RecoveryAction, recovery
from rensei_daemon.core.outcome import Outcome
from rensei_daemon.core.pending_mutation import PendingMutation
from rensei_daemon.disk.config_file import ConcurrentEditError, ConfigFile
from rensei_daemon.disk.journal import Journal
from rensei_daemon.errors import MutationError, RenseiError, StorageError
from rensei_daemon.settings.model import Settings

TRIES_PER_EDIT = 3
"""How often a person may save at the very moment we do before we come back later."""

PRUNE_AFTER = timedelta(days=1)

ValidText = ValidConfig[Settings]
Plan = Callable[[ValidText, datetime], tuple[ValidText, list[Outcome]]]
"""Work out, from today's text, the new one and the outcomes. It writes nothing."""


class Applier:
    """Applies mutations to the file on disk. Every method blocks; one runs at a time.

    `read` returns today's text, validated; it raises `SettingsError` for one that cannot be
    used, and so not be edited. `accept` returns the settings of an edited one.
    """

    def __init__(
        self,
        file: ConfigFile,
        journal: Journal,
        *,
        read: Callable[[], ValidText],
        accept: Callable[[Mapping[str, Any]], Settings],
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
    ) -> tuple[list[Outcome], ValidText | None]:
        """Bring everything undecided in the journal to its outcome.

        Return the outcomes, and the text that the file holds then; None if it was not
        read. Raises `SettingsError` when today's file cannot be edited, and
        `StorageError`; what had no outcome then still has none.
        """
        outcomes: list[Outcome] = []
        today: ValidText | None = None
        try:
            self._finish_interrupted()
            self._prune_daily()
            for batch in self._journal.undecided():
                if self._is_poison(batch):
                    outcomes.append(self._give_up(batch[0]))
                    continue
                self._journal.attempts.begin([mutation.id for mutation in batch])
                decided, today = self._change(self._plan_of(batch))
                outcomes += decided
            # One that was deleted since the platform called it well must be heard of first.
            if restore_pool and not self._journal.owes(Op.POOL_DELETED):
                _, today = self._change(self._restore_pool)
        except RenseiError:
            with suppress(StorageError):  # the one on its way out says more
                self._journal.attempts.end()
            raise
        return outcomes, today

    def _change(self, plan: Plan) -> tuple[list[Outcome], ValidText]:
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
            return outcomes, after

    def _plan_of(self, batch: Sequence[PendingMutation]) -> Plan:
        mutations = [self._parsed(pending) for pending in batch]

        def plan(before: ValidText, now: datetime) -> tuple[ValidText, list[Outcome]]:
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
        self, before: ValidText, now: datetime
    ) -> tuple[ValidText, list[Outcome]]:
        after, [outcome] = apply_all([PoolRestored()], before, self._accept, now)
        return after, [replace(outcome, cause="pool restored")]

    def _is_poison(self, batch: Sequence[PendingMutation]) -> bool:
        return len(batch) == 1 and self._journal.attempts.crashes(batch[0].id) >= MAX_DEATHS

    def _give_up(self, mutation: PendingMutation) -> Outcome:
        self._journal.reject(mutation.id, POISON, self._now())
        return Outcome(id=mutation.id, cause=mutation.op, error=POISON)

    def roll_back(
        self, number: int, *, requested_by: str, dry_run: bool = False
    ) -> tuple[ValidText, ValidText]:
        """Undo one change on today's text; return the text before and after.

        It is a change of its own, on record like any other. With `dry_run` it is only
        worked out. Raises `UsageError` when there is no such change,
        `ConflictingMutationError` when today's values are no longer what it wrote, and
        what `apply` raises.
        """
        records = self._journal.records
        change = records.change(number)
        if change is None:
            raise no_change(number)
        edits = records.edits(number)
        others = [e for n in sorted(change["together_with"]) for e in records.edits(n)]
        texts: list[ValidText] = []

        def plan(before: ValidText, _: datetime) -> tuple[ValidText, list[Outcome]]:
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
        before: ValidText,
        edits: Sequence[Edit],
        change: ChangeDetail,
        others: Sequence[Edit],
    ) -> ValidText:
        """Return the text with a change undone.

        Where nothing has happened since, that is the text it was made on with what was
        made together with it: the very bytes, with the comments that the change took along.
        """
        values = edited_copy(before.document.tree, edits)
        if change["before"] is not None and before.document.text == change["after"]:
            original = Document(change["before"])
            with suppress(RenseiError):  # then it is worked out on today's text
                valid = ValidConfig(original, self._accept(original.tree))
                again = rewritten(valid, edited_copy(original.tree, others), self._accept)
                if same(*map(without_empty_containers, (again.document.tree, values))):
                    return again
        return rewritten(before, values, self._accept)

    def settle(self) -> None:
        """Finish what a crash cut short; once, before anything is applied."""
        self._journal.attempts.count_crashes(self._boot_id)
        if self._journal.has_intents():
            before, after = self._journal.intended_digests()
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
        """Record the outcome of an intent that is on disk already.

        A crash leaves one, and so does a disk that took the file and not the record.
        """
        if self._journal.has_intents():
            _, after = self._journal.intended_digests()
            today = self._file.read().digest
            if recovery(after=after, today=today) is RecoveryAction.RECORD:
                self._journal.record_applied(self._now())

    def _prune_daily(self) -> None:
        if self._now() - self._pruned_at > PRUNE_AFTER:
            self._prune()

    def _prune(self) -> None:
        self._pruned_at = self._now()
        self._journal.budget.prune(self._pruned_at)
