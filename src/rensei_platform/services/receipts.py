"""Receipts of rotations: how far an organization's hosts are, and whether it is safe."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

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
        of_kind = _concerned(scopes, values, rotation["kind"])
        users = await uptake.users_of_keys(db, {key_id for key_id, _ in of_kind})
        names = await _names(db, reported, users, {key_id for key_id, _ in of_kind})
    live = [one for one in reported if not one.is_ended]
    concerned = [
        one
        for one in live
        if (at := (one.key_id, one.session.session_id)) in of_kind or at not in scopes
    ]
    return RotationReceipt(
        rotation,
        receipt(
            rotation["version"],
            [one.session for one in concerned],
            notified=rotation["session_count"] or 0,
            newest=newest,
            unknown_hosts={user.host_id for user in users if not user.has_reported},
            unknown_keys=_unknown_keys(of_kind, reported, users),
            silent_hosts=_silent_hosts(platform, live, users),
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


async def _names(
    db: AsyncConnection,
    reported: Sequence[Reported],
    users: Sequence[KeyUser],
    key_ids: set[str],
) -> dict[str, str]:
    names = {one.session.host_id: one.hostname for one in reported}
    names |= {user.host_id: user.hostname for user in users}
    return names | await uptake.key_names(db, key_ids)


def _excluded(without: Sequence[str], names: Mapping[str, str]) -> set[str]:
    """Return the ids that are meant. Raise NotFoundError for one that is none."""
    excluded: set[str] = set()
    for given in without:
        found = {id_ for id_, name in names.items() if given in (id_, name)}
        if not found:
            raise NotFoundError(f"{given[:100]} is no host or key with sessions")
        excluded |= found
    return excluded
