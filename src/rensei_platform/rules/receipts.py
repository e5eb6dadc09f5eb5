"""Receipts of rotations: which sessions use the new value, and may the old one go.

The version of an organization's values grows with each change, so a session holds a
rotation, and every earlier one, when its version is not below that of the rotation. A
rotation that was overtaken is therefore answered by the newer values.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from rensei_platform.rules.fields import storable

MAX_SESSIONS = 10_000
"""Sessions read from one heartbeat."""
MAX_NAMES = 100
"""Names of a session that are read."""
MAX_ID = 256
"""Characters of a session id; a longer one is skipped."""
MAX_NAME = 256
"""Characters of a name that are kept."""


class Uptake(StrEnum):
    """How far a session is with the values it holds, by its slowest consumer."""

    CONFIRMED = "confirmed"  # every consumer, or there is none
    RECEIVED = "received"  # at least one took the values and has not said more
    UNKNOWN = "unknown"  # at least one cannot tell: it reads a plain file, for instance
    BEHIND = "behind"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionUptake:
    """What a host says of the values of one session."""

    host_id: str
    session_id: str
    version: int
    confirmed: int = 0
    received: int = 0
    unknown: int = 0
    behind: tuple[str, ...] = ()
    """Names whose consumers have not followed yet."""

    def of(self, version: int) -> Uptake:
        """Return how far the session is with a rotation of this version."""
        if self.version < version or self.behind:
            return Uptake.BEHIND
        if self.unknown:
            return Uptake.UNKNOWN
        return Uptake.RECEIVED if self.received else Uptake.CONFIRMED


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """How far an organization is with a rotation; the counts are sessions."""

    notified: int
    held: int
    confirmed: int
    received: int
    unknown: int
    behind: tuple[SessionUptake, ...]
    unknown_hosts: tuple[str, ...]
    """Ids of hosts with sessions of which they say nothing: older daemons."""
    vanished_hosts: tuple[str, ...]
    """Ids of hosts that are silent, and whose sessions may still use the old value."""
    is_safe: bool
    """Whether the old value can be revoked."""


def receipt(
    version: int,
    sessions: Iterable[SessionUptake],
    *,
    notified: int,
    unknown_hosts: Collection[str] = (),
    vanished_hosts: Collection[str] = (),
    excluded_hosts: Collection[str] = (),
    accept_unknown: bool = False,
) -> Receipt:
    """Return the receipt of a rotation.

    An excluded host counts nowhere. `accept_unknown` lets sessions pass of which nobody
    can say more; it excuses neither one that is behind nor a host that is silent.
    """
    counted = [session for session in sessions if session.host_id not in excluded_hosts]
    by_uptake: dict[Uptake, list[SessionUptake]] = {uptake: [] for uptake in Uptake}
    for session in counted:
        by_uptake[session.of(version)].append(session)
    behind = sorted(by_uptake[Uptake.BEHIND], key=lambda s: (s.host_id, s.session_id))
    mute = tuple(sorted(set(unknown_hosts) - set(excluded_hosts)))
    vanished = tuple(sorted(set(vanished_hosts) - set(excluded_hosts)))
    is_unknown = bool(by_uptake[Uptake.UNKNOWN] or mute)
    return Receipt(
        notified=notified,
        held=sum(session.version >= version for session in counted),
        confirmed=len(by_uptake[Uptake.CONFIRMED]),
        received=len(by_uptake[Uptake.RECEIVED]),
        unknown=len(by_uptake[Uptake.UNKNOWN]),
        behind=tuple(behind),
        unknown_hosts=mute,
        vanished_hosts=vanished,
        is_safe=not (behind or vanished or (is_unknown and not accept_unknown)),
    )


def read_uptake(host_id: str, value: object) -> tuple[SessionUptake, ...] | None:
    """Return what a heartbeat says of the host's sessions; None if it says nothing.

    An element that is no report is skipped: it must not cost the heartbeat.
    """
    if not isinstance(value, list):
        return None
    found = {}
    for item in value[:MAX_SESSIONS]:
        if isinstance(item, dict) and (read := _read_session(host_id, item)):
            found[read.session_id] = read
    return tuple(found.values())


def _read_session(host_id: str, item: Mapping[str, Any]) -> SessionUptake | None:
    session_id, version = item.get("id"), _count(item.get("version"))
    if not isinstance(session_id, str) or not 0 < len(session_id) <= MAX_ID:
        return None
    if version is None:
        return None
    consumers = item.get("consumers")
    counts = consumers if isinstance(consumers, dict) else {}
    behind = item.get("behind")
    names = behind if isinstance(behind, list) else []
    return SessionUptake(
        host_id=host_id,
        session_id=storable(session_id, MAX_ID),
        version=version,
        confirmed=_count(counts.get("confirmed")) or 0,
        received=_count(counts.get("received")) or 0,
        unknown=_count(counts.get("unknown")) or 0,
        behind=tuple(
            storable(n, MAX_NAME) for n in names[:MAX_NAMES] if isinstance(n, str)
        ),
    )


def _count(value: object) -> int | None:
    """Return a whole number from 0 on that fits a database; None for anything else."""
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if 0 <= value < 2**63 else None
