"""The life of a mutation: the moves there are, and what a crash leaves."""

from itertools import product

import pytest

from rensei_daemon.core.mutation_state import (
    CorruptJournalError,
    Flight,
    Recovery,
    State,
    Step,
    advance,
    after_death,
    recovery,
)

MOVES = {
    (State.RECEIVED, Step.INTEND): State.INTENDED,
    (State.RECEIVED, Step.REJECT): State.REJECTED,
    (State.INTENDED, Step.APPLY): State.APPLIED,
    (State.INTENDED, Step.ABANDON): State.RECEIVED,
    (State.INTENDED, Step.REJECT): State.REJECTED,
    (State.APPLIED, Step.CONFIRM): State.APPLIED_ACKED,
    (State.REJECTED, Step.CONFIRM): State.REJECTED_ACKED,
    (State.APPLIED_ACKED, Step.REDELIVER): State.APPLIED,
    (State.REJECTED_ACKED, Step.REDELIVER): State.REJECTED,
}


@pytest.mark.parametrize(("state", "step"), list(product(State, Step)))
def test_only_the_moves_of_the_table_exist(state: State, step: Step) -> None:
    """Nine moves lead somewhere; every other one is an error that says which."""
    if (state, step) in MOVES:
        assert advance(state, step) is MOVES[state, step]
        return
    with pytest.raises(CorruptJournalError) as refused:
        advance(state, step)
    assert str(refused.value) == f"a mutation that is {state} cannot {step}"


def _reachable(start: State) -> set[State]:
    found, todo = {start}, [start]
    while todo:
        state = todo.pop()
        following = {after for (before, _), after in MOVES.items() if before is state}
        todo += following - found
        found |= following
    return found


def test_an_outcome_is_for_ever() -> None:
    """From applied no way leads to rejected, nor back, nor to no outcome at all."""
    assert _reachable(State.APPLIED) == {State.APPLIED, State.APPLIED_ACKED}
    assert _reachable(State.REJECTED) == {State.REJECTED, State.REJECTED_ACKED}


@pytest.mark.parametrize(
    ("today", "found"),
    [("new", Recovery.RECORD), ("old", Recovery.APPLY_AFRESH), ("", Recovery.APPLY_AFRESH)],
)
def test_a_cut_short_intent_is_settled_by_the_file(today: str, found: Recovery) -> None:
    """The new text on disk needs only its outcome; any other text is applied to."""
    assert recovery(after="new", today=today) is found


def test_only_one_that_was_alone_is_blamed() -> None:
    """A death counts for a mutation in flight by itself, and on this boot only."""
    alone = Flight(size=1, deaths=1, boot_id="b1")
    assert after_death(alone, "b1") == Flight(size=0, deaths=2, boot_id="b1")
    assert after_death(alone, "b2") == Flight(size=0, deaths=1, boot_id="b2")
    together = Flight(size=2, deaths=1, boot_id="b1")
    assert after_death(together, "b1") == Flight(size=0, deaths=1, boot_id="b1")
