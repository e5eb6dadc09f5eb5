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

from rensei_daemon.core.edit import Edit
from rensei_daemon.errors import StorageError


class State(StrEnum):
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


class Step(StrEnum):
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


_MOVES: dict[State, dict[Step, State]] = {
    State.RECEIVED: {Step.INTEND: State.INTENDED, Step.REJECT: State.REJECTED},
    State.INTENDED: {
        Step.APPLY: State.APPLIED,
        Step.ABANDON: State.RECEIVED,
        Step.REJECT: State.REJECTED,
    },
    State.APPLIED: {Step.CONFIRM: State.APPLIED_ACKED},
    State.REJECTED: {Step.CONFIRM: State.REJECTED_ACKED},
    State.APPLIED_ACKED: {Step.REDELIVER: State.APPLIED},
    State.REJECTED_ACKED: {Step.REDELIVER: State.REJECTED},
}

UNDECIDED = (State.RECEIVED, State.INTENDED)
OWED = (State.APPLIED, State.REJECTED)

MAX_DEATHS = 3
"""Deaths of the daemon on one boot, alone in flight, after which a mutation fails."""

POISON = (
    f"gave up: the daemon died {MAX_DEATHS} times while it applied this mutation alone; "
    "see the daemon's log"
)


class CorruptJournalError(StorageError):
    """The journal holds a state that no step leads to."""


def advance(state: State, step: Step) -> State:
    """Return the state after a step; `CorruptJournalError` for one not in the table."""
    try:
        return _MOVES[state][step]
    except KeyError:
        message = f"a mutation that is {state} cannot {step}"
        raise CorruptJournalError(message) from None


class Recovery(StrEnum):
    """What a batch needs that a crash cut short after its intent."""

    RECORD = "record"
    """The new text is on disk: only the outcome is missing."""
    APPLY_AFRESH = "apply-afresh"
    """It is not, or a person has edited since: apply to today's text."""


def recovery(*, after: str, today: str) -> Recovery:
    """Compare today's digest with the one the intent would leave."""
    return Recovery.RECORD if today == after else Recovery.APPLY_AFRESH


@dataclass(frozen=True, slots=True, kw_only=True)
class Flight:
    """What the journal remembers of an attempt that may have killed the daemon."""

    size: int
    """How many mutations were in flight together; 0: this one was not."""
    deaths: int
    boot_id: str
    """The boot on which the deaths were counted."""


def after_death(flight: Flight, boot_id: str) -> Flight:
    """Return what an attempt that was under way when the daemon died leaves behind.

    Only a mutation that was alone can be blamed. Counting starts anew on each boot: a
    host that loses power is not a mutation's doing.
    """
    earlier = flight.deaths if flight.boot_id == boot_id else 0
    return Flight(size=0, deaths=earlier + (flight.size == 1), boot_id=boot_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What one mutation of an intent will come to."""

    id: str
    """Empty: a change of ours that no mutation asked for."""
    cause: str
    """The op, or what else brought it about."""
    requested_by: str = ""
    """Who asked for a change of ours; for a mutation, its own record says."""
    edits: tuple[Edit, ...] = ()
    error: str = ""
    """Not empty: it is refused, and this is why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many mutations stand where."""

    applied: int = 0
    failed: int = 0
    unacknowledged: int = 0
    waiting: int = 0
    """Delivered, and without an outcome."""
