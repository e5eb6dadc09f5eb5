"""Receipts of rotations: how far an organization's hosts are, and whether it is safe."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from anyio import to_thread
from sqlalchemy import RowMapping

from rensei_platform.errors import NotFoundError
from rensei_platform.rules.callers import Access, Caller, require_access
from rensei_platform.rules.credentials import Scope, kinds_seen
from rensei_platform.rules.receipts import Receipt, receipt
from rensei_platform.services.fan_out import SCOPE_LIFETIME
from rensei_platform.services.platform import Platform
from rensei_platform.services.values import OrgValues
from rensei_platform.store import credentials, uptake
from rensei_platform.store.uptake import KeyUser, Reported

INTERVALS_TO_SILENCE = 3
LEAST_SILENCE = timedelta(seconds=15)
"""A host is silent after so many intervals, and no sooner than after this time: other
replicas write every few seconds when they have seen a host."""

Scopes = Mapping[tuple[str, str], set[Scope]]


@dataclass(frozen=True, slots=True)
class RotationReceipt:
    """A rotation and its receipt."""

    rotation: RowMapping
    receipt: Receipt
    names: Mapping[str, str]
    """Of the hosts and keys in the receipt, by id."""


async def list_rotations(
    platform: Platform, caller: Caller, limit: int
) -> Sequence[RowMapping]:
    """Return the latest rotations of the caller's organization, newest first."""
    require_access(caller, Access.READ_MUTATIONS)
    async with platform.store.read() as db:
        return await credentials.list_rotations(db, caller.org_id, limit)


async def rotation_receipt(
    platform: Platform,
    caller: Caller,
    rotation_id: str,
    *,
    without: Sequence[str] = (),
    accept_unknown: bool = False,
) -> RotationReceipt:
    """Return how far a rotation is. Raise NotFoundError for it, or for an excluded host.

    `without` are ids or names of hosts, or ids of keys, that do not count.
    """
    require_access(caller, Access.READ_MUTATIONS)
    values = await platform.values.current(caller.org_id)
    async with platform.store.read() as db:
        rotation = await uptake.find_rotation(db, caller.org_id, rotation_id)
        if rotation is None:
            raise NotFoundError("Rotation not found")
        newest = await credentials.values_version(db, caller.org_id)
        since = rotation["rotated_at"] - SCOPE_LIFETIME
        scopes = await credentials.scopes_since(db, caller.org_id, since)
        reported = await uptake.of_org(db, caller.org_id)
        of_kind = await to_thread.run_sync(_concerned, scopes, values, rotation["kind"])
        keys = {key_id for key_id, _ in of_kind}
        users = await uptake.users_of_keys(db, keys)
        key_names = await uptake.key_names(db, keys)
    found = _Found(rotation, newest, scopes, reported, of_kind, users, key_names)
    return await to_thread.run_sync(_judge, platform, found, without, accept_unknown)


@dataclass(frozen=True, slots=True)
class _Found:
    """What the database has about a rotation: as much as there are sessions."""

    rotation: RowMapping
    newest: int
    scopes: Scopes
    reported: Sequence[Reported]
    of_kind: set[tuple[str, str]]
    users: Sequence[KeyUser]
    key_names: Mapping[str, str]


def _judge(
    platform: Platform, found: _Found, without: Sequence[str], accept_unknown: bool
) -> RotationReceipt:
    """Return the receipt. In a thread: heartbeats would wait behind it."""
    names = _names(found)
    live = [one for one in found.reported if not one.is_ended]
    concerned = [
        one.session
        for one in live
        if (at := (one.key_id, one.session.session_id)) in found.of_kind
        or at not in found.scopes
    ]
    return RotationReceipt(
        found.rotation,
        receipt(
            found.rotation["version"],
            concerned,
            notified=found.rotation["session_count"] or 0,
            newest=found.newest,
            unknown_hosts={one.host_id for one in found.users if not one.has_reported},
            unknown_keys=_unknown_keys(found.of_kind, found.reported, found.users),
            silent_hosts=_silent_hosts(platform, live, found.users),
            excluded=_excluded(without, names),
            accept_unknown=accept_unknown,
        ),
        names,
    )


def _concerned(scopes: Scopes, values: OrgValues, kind: str) -> set[tuple[str, str]]:
    """Return (key, session) of what has recently taken a snapshot with the kind in it.

    A kind of which nothing is bound any more counts as seen by everybody.
    """
    every = {scope for found in scopes.values() for scope in found}
    if any(one.kind == kind for one in values.sets):
        every = {scope for scope in every if kind in kinds_seen(values.sets, scope)}
    return {at for at, found in scopes.items() if found & every}


def _unknown_keys(
    of_kind: set[tuple[str, str]], reported: Sequence[Reported], users: Sequence[KeyUser]
) -> set[str]:
    """Return the keys with sessions that no host has reported, nor could an older daemon.

    A host may have had another key when it reported the session.
    """
    hosts_with = defaultdict[str, set[str]](set)  # of a session id
    for one in reported:
        hosts_with[one.session.session_id].add(one.session.host_id)
    hosts_of = defaultdict[str, set[str]](set)
    for user in users:
        hosts_of[user.key_id].add(user.host_id)
    of_older_daemons = {user.key_id for user in users if not user.has_reported}
    return {
        key_id
        for key_id, session_id in of_kind
        if key_id not in of_older_daemons
        and hosts_with[session_id].isdisjoint(hosts_of[key_id])
    }


def silent_since(platform: Platform) -> datetime:
    """Return the time since which a host must have been seen to be alive."""
    interval = timedelta(milliseconds=platform.settings.heartbeat_interval_ms)
    return platform.now() - max(INTERVALS_TO_SILENCE * interval, LEAST_SILENCE)


def _silent_hosts(
    platform: Platform, reported: Sequence[Reported], users: Sequence[KeyUser]
) -> set[str]:
    limit = silent_since(platform)
    seen: dict[str, datetime | None] = {
        one.session.host_id: one.seen_at for one in reported
    }
    seen |= {user.host_id: user.seen_at for user in users}
    for host_id in seen:
        if (newer := platform.presence.get(host_id)) is not None:
            seen[host_id] = newer[0]
    return {host_id for host_id, at in seen.items() if at is None or at < limit}


def _names(found: _Found) -> dict[str, str]:
    names = {one.session.host_id: one.hostname for one in found.reported}
    names |= {user.host_id: user.hostname for user in found.users}
    return names | dict(found.key_names)


def _excluded(without: Sequence[str], names: Mapping[str, str]) -> set[str]:
    """Return the ids that are meant. Raise NotFoundError for one that is none."""
    excluded: set[str] = set()
    for given in without:
        found = {id_ for id_, name in names.items() if given in (id_, name)}
        if not found:
            raise NotFoundError(f"{given[:100]} is no host or key with sessions")
        excluded |= found
    return excluded
