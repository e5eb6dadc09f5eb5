"""The life of one mutation, and what to do about one that a crash cut short.

All moves between states live in one table; a move that is not in it is refused before
anything changes. This file does not know where the states are kept.

::

    RECEIVED ──intend──▶ INTENDED ──apply──▶ APPLIED ──confirm──▶ APPLIED_ACKED
        │    ◀──abandon──    │                  ▲                      │
        │                    │                  └──────redeliver───────┘
        └───────reject───────┴─────reject─────▶ REJECTED ──confirm──▶ REJECTED_ACKED
                                                   ▲                      │
                                                   └──────redeliver───────┘

A state names its outcome for ever: from APPLIED no way leads to REJECTED, nor back.
"""

from dataclasses import dataclass
from enum import StrEnum

from rensei_daemon.errors import StorageError


class MutationState(StrEnum):
    """Where a mutation stands."""

    RECEIVED = "received"
    """Delivered; nothing decided."""
    INTENDED = "intended"
    """The new text is known, and may or may not be on disk."""
    APPLIED = "applied"
    """Its outcome is recorded, and owed to the platform."""
    REJECTED = "rejected"
    """Its failure is recorded, and owed to the platform."""
    APPLIED_ACKED = "applied-acked"
    REJECTED_ACKED = "rejected-acked"


class Transition(StrEnum):
    """What moves it."""

    INTEND = "intend"
    APPLY = "apply"
    ABANDON = "abandon"
    """The intent came to nothing; another will be made."""
    REJECT = "reject"
    CONFIRM = "confirm"
    """The platform has answered a beat that carried the outcome."""
    REDELIVER = "redeliver"
    """The platform sent it again, so it has not heard the outcome."""


_MOVES: dict[MutationState, dict[Transition, MutationState]] = {
    MutationState.RECEIVED: {
        Transition.INTEND: MutationState.INTENDED,
        Transition.REJECT: MutationState.REJECTED,
    },
    MutationState.INTENDED: {
        Transition.APPLY: MutationState.APPLIED,
        Transition.ABANDON: MutationState.RECEIVED,
        Transition.REJECT: MutationState.REJECTED,
    },
    MutationState.APPLIED: {Transition.CONFIRM: MutationState.APPLIED_ACKED},
    MutationState.REJECTED: {Transition.CONFIRM: MutationState.REJECTED_ACKED},
    MutationState.APPLIED_ACKED: {Transition.REDELIVER: MutationState.APPLIED},
    MutationState.REJECTED_ACKED: {Transition.REDELIVER: MutationState.REJECTED},
}

UNDECIDED = (MutationState.RECEIVED, MutationState.INTENDED)
OWED = (MutationState.APPLIED, MutationState.REJECTED)

MAX_DEATHS = 3
"""Deaths of the daemon on one boot, alone in flight, after which a mutation fails."""

POISON = (
    f"gave up: the daemon died {MAX_DEATHS} times while it applied this mutation alone; "
    "see the daemon's log"
)


class CorruptJournalError(StorageError):
    """The journal holds a state that no step leads to."""


def advance(state: MutationState, step: Transition) -> MutationState:
    """Return the state after a step; `CorruptJournalError` for one not in the table."""
    try:
        return _MOVES[state][step]
    except KeyError:
        message = f"a mutation that is {state} cannot {step}"
        raise CorruptJournalError(message) from None


class RecoveryAction(StrEnum):
    """What a batch needs that a crash cut short after its intent."""

    RECORD = "record"
    """The new text is on disk: only the outcome is missing."""
    APPLY_AFRESH = "apply-afresh"
    """It is not, or a person has edited since: apply to today's text."""


def recovery(*, after: str, today: str) -> RecoveryAction:
    """Compare today's digest with the one the intent would leave."""
    return RecoveryAction.RECORD if today == after else RecoveryAction.APPLY_AFRESH


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What the journal remembers of an attempt that may have killed the daemon."""

    size: int
    """How many mutations were in flight together; 0: this one was not."""
    crashes: int
    boot_id: str
    """The boot on which the deaths were counted."""


def after_crash(attempt: Attempt, boot_id: str) -> Attempt:
    """Return what an attempt that was under way when the daemon died leaves behind.

    Only a mutation that was alone can be blamed. Counting starts anew on each boot: a
    host that loses power is not a mutation's doing.
    """
    earlier = attempt.crashes if attempt.boot_id == boot_id else 0
    return Attempt(size=0, crashes=earlier + (attempt.size == 1), boot_id=boot_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class MutationCounts:
    """How many mutations stand where."""

    applied: int = 0
    failed: int = 0
    unacknowledged: int = 0
    waiting: int = 0
    """Delivered, and without an outcome."""
