"""The life of a mutation: the moves there are, and what a crash leaves."""

from itertools import product

import pytest

from rensei_daemon.core.mutation_state import (
    Attempt,
    CorruptJournalError,
    MutationState,
    RecoveryAction,
    Transition,
    advance,
    after_crash,
    recovery,
)

MOVES = {
    (MutationState.RECEIVED, Transition.INTEND): MutationState.INTENDED,
    (MutationState.RECEIVED, Transition.REJECT): MutationState.REJECTED,
    (MutationState.INTENDED, Transition.APPLY): MutationState.APPLIED,
    (MutationState.INTENDED, Transition.ABANDON): MutationState.RECEIVED,
    (MutationState.INTENDED, Transition.REJECT): MutationState.REJECTED,
    (MutationState.APPLIED, Transition.CONFIRM): MutationState.APPLIED_ACKED,
    (MutationState.REJECTED, Transition.CONFIRM): MutationState.REJECTED_ACKED,
    (MutationState.APPLIED_ACKED, Transition.REDELIVER): MutationState.APPLIED,
    (MutationState.REJECTED_ACKED, Transition.REDELIVER): MutationState.REJECTED,
}


@pytest.mark.parametrize(("state", "step"), list(product(MutationState, Transition)))
def test_only_the_moves_of_the_table_exist(state: MutationState, step: Transition) -> None:
    """Nine moves lead somewhere; every other one is an error that says which."""
    if (state, step) in MOVES:
        assert advance(state, step) is MOVES[state, step]
        return
    with pytest.raises(CorruptJournalError) as refused:
        advance(state, step)
    assert str(refused.value) == f"a mutation that is {state} cannot {step}"


def _reachable(start: MutationState) -> set[MutationState]:
    found, todo = {start}, [start]
    while todo:
        state = todo.pop()
        following = {after for (before, _), after in MOVES.items() if before is state}
        todo += following - found
        found |= following
    return found


def test_an_outcome_is_for_ever() -> None:
    """From applied no way leads to rejected, nor back, nor to no outcome at all."""
    assert _reachable(MutationState.APPLIED) == {
        MutationState.APPLIED,
        MutationState.APPLIED_ACKED,
    }
    assert _reachable(MutationState.REJECTED) == {
        MutationState.REJECTED,
        MutationState.REJECTED_ACKED,
    }


@pytest.mark.parametrize(
    ("today", "found"),
    [
        ("new", RecoveryAction.RECORD),
        ("old", RecoveryAction.APPLY_AFRESH),
        ("", RecoveryAction.APPLY_AFRESH),
    ],
)
def test_a_cut_short_intent_is_settled_by_the_file(
    today: str, found: RecoveryAction
) -> None:
    """The new text on disk needs only its outcome; any other text is applied to."""
    assert recovery(after="new", today=today) is found


def test_only_one_that_was_alone_is_blamed() -> None:
    """A crash counts only for a mutation that was applied alone, in this boot."""
    alone = Attempt(size=1, crashes=1, boot_id="b1")
    assert after_crash(alone, "b1") == Attempt(size=0, crashes=2, boot_id="b1")
    assert after_crash(alone, "b2") == Attempt(size=0, crashes=1, boot_id="b2")
    together = Attempt(size=2, crashes=1, boot_id="b1")
    assert after_crash(together, "b1") == Attempt(size=0, crashes=1, boot_id="b1")
