"""The states of one mutation, its outcome, and what to do after a crash.

All transitions are in one table; one that is not in it is refused before anything
changes. This module does not know where the states are stored.

::

    RECEIVED ──intend──▶ INTENDED ──apply──▶ APPLIED ──confirm──▶ APPLIED_ACKED
        │    ◀──abandon──    │                  ▲                      │
        │                    │                  └──────redeliver───────┘
        └───────reject───────┴─────reject─────▶ REJECTED ──confirm──▶ REJECTED_ACKED
                                                   ▲                      │
                                                   └──────redeliver───────┘

An outcome is final: no transition leads from APPLIED to REJECTED, nor back.
"""

from enum import StrEnum

from rensei_daemon.core.edit import Edit
from rensei_daemon.errors import StorageError
from rensei_daemon.fast_dataclass import dataclass


class MutationState(StrEnum):
    """The state of a mutation."""

    RECEIVED = "received"
    """Delivered; nothing is decided."""
    INTENDED = "intended"
    """The new text is known; it may or may not be on disk."""
    APPLIED = "applied"
    """The outcome is recorded, and not confirmed by the platform."""
    REJECTED = "rejected"
    """The failure is recorded, and not confirmed by the platform."""
    APPLIED_ACKED = "applied-acked"
    REJECTED_ACKED = "rejected-acked"


class Transition(StrEnum):
    """A change of the state."""

    INTEND = "intend"
    APPLY = "apply"
    ABANDON = "abandon"
    """The intent was not carried out; another one will be made."""
    REJECT = "reject"
    CONFIRM = "confirm"
    """The platform has answered a heartbeat that carried the outcome."""
    REDELIVER = "redeliver"
    """The platform sent it again, so it has not received the outcome."""


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
UNCONFIRMED = (MutationState.APPLIED, MutationState.REJECTED)

MAX_CRASHES = 3
"""How often the daemon may die in one boot while applying a mutation alone."""

POISON = (
    f"gave up: the daemon died {MAX_CRASHES} times while it applied this mutation alone; "
    "see the daemon's log"
)


class CorruptJournalError(StorageError):
    """The journal contains a state that no transition leads to."""


def advance(state: MutationState, step: Transition) -> MutationState:
    """Return the state after a transition; `CorruptJournalError` if not in the table."""
    try:
        return _MOVES[state][step]
    except KeyError:
        message = f"a mutation that is {state} cannot {step}"
        raise CorruptJournalError(message) from None


class RecoveryAction(StrEnum):
    """What to do about a batch whose intent was recorded before a crash."""

    RECORD = "record"
    """The new text is on disk: record the outcome."""
    APPLY_AFRESH = "apply-afresh"
    """It is not, or somebody has edited since: apply to the current text."""


def recovery(*, after: str, today: str) -> RecoveryAction:
    """Compare the current digest with the one the intent would leave."""
    return RecoveryAction.RECORD if today == after else RecoveryAction.APPLY_AFRESH


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What the journal stores of an attempt that may have crashed the daemon."""

    size: int
    """How many mutations were applied together; 0: none is being applied."""
    crashes: int
    boot_id: str
    """The boot in which the crashes were counted."""


def after_crash(attempt: Attempt, boot_id: str) -> Attempt:
    """Return the record after a crash during this attempt.

    Only a mutation that was alone can be the cause. Counting starts again on each boot,
    because no mutation makes a host lose power.
    """
    earlier = attempt.crashes if attempt.boot_id == boot_id else 0
    return Attempt(size=0, crashes=earlier + (attempt.size == 1), boot_id=boot_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The outcome of one mutation, or of one change that no mutation asked for."""

    id: str = ""
    """The mutation's; empty for a change that no mutation asked for."""
    cause: str = ""
    """The mutation's op, or what else caused the change."""
    requested_by: str = ""
    """Who asked for a rollback; for a mutation, its own record says."""
    edits: tuple[Edit, ...] = ()
    """Empty if the mutation failed, or if everything it asks for already holds."""
    error: str = ""
    """Why the mutation failed; empty if it did not."""
    ignored: tuple[str, ...] = ()
    """Dotted names of the parameters that the file has no place for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MutationCounts:
    """The number of mutations in each state."""

    applied: int = 0
    failed: int = 0
    unacknowledged: int = 0
    waiting: int = 0
    """Delivered, without an outcome."""
