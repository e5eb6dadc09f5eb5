"""Receipts of rotations: which sessions use the new value, and may the old one go.

The version of an organization's values grows with each change, so a session holds a
rotation, and every earlier one, when its version is not below that of the rotation. A
rotation that was overtaken is therefore answered by the newer values.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
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
    """Names of the consumers that have not followed to this version."""
    settled_version: int | None = None
    """The newest version that every consumer had followed to; None if there is none."""
    settled_as: Uptake = Uptake.CONFIRMED
    """How far the session was with that version."""

    def of(self, version: int) -> Uptake:
        """Return how far the session is with a rotation of this version."""
        if self.settled_version is None or self.settled_version < version:
            return Uptake.BEHIND
        return self.settled_as

    def after(self, before: "SessionUptake | None") -> "SessionUptake":
        """Return this report with what it and an earlier one of the session settle.

        Consumers that are behind a newer version have left the older ones all the same.
        A version that goes back, as after a restart of the daemon, settles nothing.
        """
        if not self.behind:
            return replace(self, settled_version=self.version, settled_as=self._as)
        if before is None or (before.settled_version or 0) > self.version:
            return replace(self, settled_version=None, settled_as=Uptake.CONFIRMED)
        return replace(
            self, settled_version=before.settled_version, settled_as=before.settled_as
        )

    @property
    def _as(self) -> Uptake:
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
    unknown_keys: tuple[str, ...]
    """Ids of keys with sessions of no registered host."""
    vanished_hosts: tuple[str, ...]
    """Ids of hosts that are silent, and whose sessions may still use the old value."""
    obstacles: tuple[str, ...]
    """Why the old value cannot be revoked; empty if it can."""

    @property
    def is_safe(self) -> bool:
        """Whether the old value can be revoked."""
        return not self.obstacles


def receipt(
    version: int,
    sessions: Iterable[SessionUptake],
    *,
    notified: int,
    newest: int,
    unknown_hosts: Collection[str] = (),
    unknown_keys: Collection[str] = (),
    silent_hosts: Collection[str] = (),
    excluded: Collection[str] = (),
    accept_unknown: bool = False,
) -> Receipt:
    """Return the receipt of a rotation.

    `newest` is the version of the organization's values now. A session that has a newer
    one has it from before the database was restored, and so is behind. `excluded` are ids
    of hosts and keys, which count nowhere. A host that is silent has vanished if a session
    of it is behind, or if it has never said anything. `accept_unknown` lets pass sessions
    whose host has counted consumers that can say no more. It does not excuse a session
    that is behind, nor a host or a key of which nothing was said: it may be about to.
    """
    counted = [session for session in sessions if session.host_id not in excluded]
    by_uptake = _by_uptake(counted, version, newest)
    behind = sorted(by_uptake[Uptake.BEHIND], key=lambda s: (s.host_id, s.session_id))
    mute = set(unknown_hosts) - set(excluded)
    vanished = set(silent_hosts) & ({session.host_id for session in behind} | mute)
    unknown = len(by_uptake[Uptake.UNKNOWN])
    keys = set(unknown_keys) - set(excluded)
    obstacles = (
        (len(behind), "session", "behind"),
        (len(vanished), "host", "silent, with the old value perhaps"),
        (0 if accept_unknown else unknown, "session", "unable to tell"),
        (len(mute - vanished), "host", "without a report"),
        (len(keys), "key", "used by sessions of no registered host"),
    )
    return Receipt(
        notified=notified,
        held=sum(_holds(session, version, newest) for session in counted),
        confirmed=len(by_uptake[Uptake.CONFIRMED]),
        received=len(by_uptake[Uptake.RECEIVED]),
        unknown=unknown,
        behind=tuple(behind),
        unknown_hosts=tuple(sorted(mute - vanished)),
        unknown_keys=tuple(sorted(keys)),
        vanished_hosts=tuple(sorted(vanished)),
        obstacles=tuple(_counted(*one) for one in obstacles if one[0]),
    )


def _by_uptake(
    sessions: Iterable[SessionUptake], version: int, newest: int
) -> dict[Uptake, list[SessionUptake]]:
    found: dict[Uptake, list[SessionUptake]] = {uptake: [] for uptake in Uptake}
    for session in sessions:
        found[_uptake(session, version, newest)].append(session)
    return found


def _uptake(session: SessionUptake, version: int, newest: int) -> Uptake:
    is_known = session.version <= newest
    return session.of(version) if is_known else Uptake.BEHIND


def _holds(session: SessionUptake, version: int, newest: int) -> bool:
    return version <= session.version <= newest


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the sessions of an organization are with a rotation, as counts alone."""

    held: int
    by_uptake: Mapping[Uptake, int]

    @property
    def total(self) -> int:
        """How many sessions there are."""
        return sum(self.by_uptake.values())


def progress(
    version: int, groups: Iterable[tuple[SessionUptake, int]], *, newest: int
) -> Progress:
    """Return how far sessions are with a rotation of this version.

    `groups` are sessions that are equally far, as one of them and how many they are.
    """
    held, counts = 0, dict.fromkeys(Uptake, 0)
    for session, count in groups:
        counts[_uptake(session, version, newest)] += count
        held += count * _holds(session, version, newest)
    return Progress(held, counts)


def _counted(count: int, noun: str, what: str) -> str:
    return f"1 {noun} is {what}" if count == 1 else f"{count} {noun}s are {what}"


@dataclass(frozen=True, slots=True)
class UptakeChanges:
    """How a report changes what is stored of a host."""

    changed: tuple[SessionUptake, ...]
    ended: tuple[str, ...]
    """Ids of sessions that the host no longer has."""

    def __bool__(self) -> bool:
        """Whether there is anything to store."""
        return bool(self.changed or self.ended)


def changes(
    stored: Iterable[SessionUptake], reported: Iterable[SessionUptake]
) -> UptakeChanges:
    """Return what a report changes of the sessions that are stored and have not ended.

    A report names every session of its host, so one that it leaves out has ended.
    """
    before = {session.session_id: session for session in stored}
    after = {
        session.session_id: session.after(before.get(session.session_id))
        for session in reported
    }
    return UptakeChanges(
        tuple(session for id_, session in after.items() if session != before.get(id_)),
        tuple(sorted(before.keys() - after.keys())),
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
