"""Uptake: which version of the values each session holds, and how far its consumers are.

The version is the platform's; the generation is this host's count of changed values. Each
consumer's record says which generation it has, and what that proves, so a report is made
of the sessions' health records alone.
"""

from collections.abc import Iterable

from rensei_daemon.core.health import DEPARTED, ConsumerHealth, Proof, SessionHealth
from rensei_daemon.fast_dataclass import dataclass

MOST_NAMES = 100
"""Consumers of a session that are named."""
MOST_CHARACTERS = 256
"""Of a name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionUptake:
    """One session's report."""

    id: str
    version: int
    """The platform's version of the values that this host holds; 0 if it is unknown."""
    confirmed: int = 0
    received: int = 0
    unknown: int = 0
    behind: tuple[str, ...] = ()
    """Consumers that do not have these values yet."""


def uptake_of(sessions: Iterable[SessionHealth]) -> tuple[SessionUptake, ...]:
    """Return the reports of all sessions, by id."""
    return tuple(map(_of_session, sorted(sessions, key=lambda session: session.id)))


def may_change_silently(sessions: Iterable[SessionHealth]) -> bool:
    """Whether a report may change without an event.

    A reader sends nothing after reading, and a process that has left may end.
    """
    return any(
        _is_behind(one, session.generation)
        for session in sessions
        for one in session.consumers
    )


def _of_session(session: SessionHealth) -> SessionUptake:
    newest = session.generation
    behind = [
        one for one in session.consumers if _is_behind(one, newest) and one.kind != DEPARTED
    ]
    proofs = [
        one.proof
        for one in session.consumers
        if _is_behind(one, newest) is (one.kind == DEPARTED)
    ]
    return SessionUptake(
        id=session.id,
        version=session.version or 0,
        confirmed=proofs.count(Proof.CONFIRMED),
        received=proofs.count(Proof.RECEIVED),
        unknown=proofs.count(Proof.UNKNOWN),
        behind=tuple(f"{one.kind} {one.name}"[:MOST_CHARACTERS] for one in behind)[
            :MOST_NAMES
        ],
    )


# A process that has left and has the newest values counts nowhere: it may go on with them.
# With older ones it counts as unknown, and not as behind: it will never follow.
def _is_behind(consumer: ConsumerHealth, generation: int) -> bool:
    has = consumer.generation
    return has is None or has < generation or consumer.has_unread
