"""Workers: how a host registers, and how its heartbeats are answered."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from rensei_platform.errors import UnavailableError
from rensei_platform.ids import new_id
from rensei_platform.rules.callers import Access, Caller, require_access
from rensei_platform.rules.extensions import OFFERED
from rensei_platform.rules.fields import Json
from rensei_platform.rules.mutations import (
    Mutation,
    Outcomes,
    Status,
    fitting,
    for_host,
    size_for_host,
)
from rensei_platform.rules.receipts import UptakeChanges, changes, read_uptake
from rensei_platform.rules.reports import Beat, Registration
from rensei_platform.rules.times import to_milliseconds, wire_time
from rensei_platform.services.platform import Platform
from rensei_platform.services.presence import SEEN_EVERY
from rensei_platform.store import hosts, mutations, outcome_counts, uptake, workers
from rensei_platform.store.workers import Worker

KEPT_WORKERS = 16
"""The latest of one host, which stay whether they are alive or not."""
MOST_WORKERS = 1000
"""Of one host that are known; its others are answered 404, and register anew."""
ALIVE_FOR = 3 * SEEN_EVERY
"""After it was last written that a worker was seen."""
_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Registered:
    """What a host is told when it has registered, or has a new token."""

    worker_id: str
    token: str
    expires_at: datetime


async def register(
    platform: Platform, caller: Caller, registration: Registration
) -> Registered:
    """Give a host a new worker id and a token."""
    require_access(caller, Access.REGISTER)
    for _ in range(_ATTEMPTS):
        # Another request may have added, taken or removed the same host a moment ago.
        with suppress(IntegrityError, _HostChangedError):
            worker_id = await _add_worker(platform, caller, registration)
            platform.changes.note(caller.org_id)
            return _token(platform, worker_id, caller.org_id, caller.key_id)
    raise UnavailableError("The host changes too fast; register again later")


class _HostChangedError(Exception):
    """The host that was found has been removed, or become another machine's."""


async def _add_worker(
    platform: Platform, caller: Caller, registration: Registration
) -> str:
    now, worker_id = platform.now(), new_id("wkr")
    async with platform.store.write() as db:
        host_id = await _find_or_add_host(db, caller.org_id, registration, now)
        if not await hosts.note_registration(db, host_id, registration, now):
            raise _HostChangedError
        await workers.add_worker(
            db,
            worker_id,
            host_id=host_id,
            org_id=caller.org_id,
            key_id=caller.key_id,
            now=now,
        )
        await workers.prune_workers(
            db,
            host_id,
            kept=KEPT_WORKERS,
            seen_since=now - ALIVE_FOR,
            most=MOST_WORKERS,
        )
    return worker_id


async def _find_or_add_host(
    db: AsyncConnection, org_id: str, registration: Registration, now: datetime
) -> str:
    """Return the host that registers: one host, also of two requests at a moment."""
    found = await hosts.find_host(db, org_id, registration)
    if found is None:
        await hosts.hold_name(db, org_id, registration.hostname)
        found = await hosts.find_host(db, org_id, registration)
    if found is None:
        found = new_id("host")
        await hosts.add_host(db, found, org_id, registration.hostname, now)
    return found


def renew(platform: Platform, worker: Worker) -> Registered:
    """Give a worker a new token."""
    return _token(platform, worker.id, worker.org_id, worker.key_id)


def _token(platform: Platform, worker_id: str, org_id: str, key_id: str) -> Registered:
    token, expires_at = platform.tokens.issue(
        worker_id, org_id, key_id, new_id("jti"), platform.now()
    )
    return Registered(worker_id, token, expires_at)


def _note_beat(platform: Platform, worker: Worker, beat: Beat, now: datetime) -> Json:
    """Note that a host is there; return what every heartbeat is answered with."""
    platform.presence.note(worker.host_id, now, beat.active_count)
    platform.presence.note_worker(worker.id, now, worker.replaced_at)
    return {
        "acknowledged": True,
        "serverTime": wire_time(now),
        "pendingWorkCount": 0,
        "extensions": list(OFFERED),
    }


async def answer_older_beat(platform: Platform, worker: Worker, beat: Beat) -> Json:
    """Store what a heartbeat of the older form says; its answer brings no mutations.

    It has the names of both descriptions of that form.
    """
    now = platform.now()
    answer = _note_beat(platform, worker, beat, now)
    news = await _news(platform, worker, beat)
    if news is not None:
        async with platform.store.write() as db:
            ignored = await _store_news(db, worker, news, now)
        _tell(platform, worker, ignored)
    return answer | {"ok": True, "serverTimeMs": to_milliseconds(now)}


async def answer_beat(platform: Platform, worker: Worker, beat: Beat) -> Json:
    """Store what a heartbeat says, and return its answer.

    A beat that says nothing new, of a host that is owed nothing new, only reads.
    """
    answer = _note_beat(platform, worker, beat, platform.now())
    if worker.host_status is not None:
        answer["hostStatus"] = worker.host_status
    owed: list[Mutation] = []
    news = await _news(platform, worker, beat)
    if news is not None:
        async with platform.store.write() as db:
            ignored = await _store_news(db, worker, news, platform.now())
            owed = await _deliver(db, platform, worker, _size(answer))
        _tell(platform, worker, ignored)
    elif worker.is_owed:
        owed = await _deliver_again(platform, worker, _size(answer))
    answer["pendingMutations"] = [for_host(mutation) for mutation in owed]
    return answer


@dataclass(frozen=True, slots=True)
class _News:
    """What a heartbeat says that is not stored yet."""

    changed: Mapping[str, Any]
    """Columns of the mirror."""
    outcomes: Outcomes
    uptake: UptakeChanges | None


async def _news(platform: Platform, worker: Worker, beat: Beat) -> _News | None:
    """Return what there is to store of a heartbeat. None if there is nothing."""
    changed = {
        name: value for name, value in beat.mirror.items() if value != worker.mirror[name]
    }
    uptake_changes = await _uptake_changes(platform, worker, beat)
    if changed or uptake_changes is not None or not beat.outcomes.is_empty:
        return _News(changed, beat.outcomes, uptake_changes)
    return None


def _tell(platform: Platform, worker: Worker, ignored: int) -> None:
    """Count the outcomes that were ignored, and tell pages of the rest."""
    platform.tally.ignored_acks += ignored
    platform.changes.note(worker.org_id)


async def _uptake_changes(
    platform: Platform, worker: Worker, beat: Beat
) -> UptakeChanges | None:
    """Return what a heartbeat's report on its sessions changes. None for nothing."""
    reported = read_uptake(worker.host_id, beat.uptake)
    if reported is None:
        return None
    async with platform.store.read() as db:
        stored = await uptake.of_host(db, worker.host_id)
    found = changes(stored, reported)
    return found if found or not worker.has_reported else None


async def _store_news(
    db: AsyncConnection, worker: Worker, news: _News, now: datetime
) -> int:
    """Store it; return how many of its outcomes are of nothing delivered here."""
    ignored = 0
    if news.changed:
        await hosts.update_mirror(db, worker.host_id, news.changed, now)
    if not news.outcomes.is_empty:
        ignored = await _store_outcomes(db, worker, news.outcomes, now)
    if news.uptake is not None:
        await uptake.store_changes(db, news.uptake, worker=worker, now=now)
    return ignored


async def _store_outcomes(
    db: AsyncConnection, worker: Worker, outcomes: Outcomes, now: datetime
) -> int:
    """Store outcomes; return how many are of nothing that was delivered to the host."""
    decided = await mutations.decide(db, worker.host_id, outcomes, now)
    await outcome_counts.add(db, worker.org_id, decided, now)
    ids = outcomes.ids
    if sum(decided.values()) == len(ids):
        return 0
    return len(ids) - await mutations.count_delivered(db, worker.host_id, ids)


def _size(answer: Json) -> int:
    """Return the bytes of an answer that brings no mutation."""
    return len(json.dumps(answer | {"pendingMutations": []}, separators=(",", ":")))


async def _deliver(
    db: AsyncConnection, platform: Platform, worker: Worker, beside: int
) -> list[Mutation]:
    """Return what the host is owed, first in first out, with new ones marked delivered.

    `beside` are the bytes of the rest of the answer. One that is cancelled at this moment
    is either delivered or cancelled, never both.
    """
    waiting = _fitting(await mutations.undecided(db, worker.host_id), beside)
    pending = [m.seq for m in waiting if m.status == Status.PENDING]
    delivered: set[int] = set()
    if pending:
        now = platform.now()
        delivered = await mutations.mark_delivered(db, worker.host_id, pending, now)
    return [
        mutation
        for mutation in waiting
        if mutation.seq in delivered
        or (mutation.status == Status.DELIVERED and not platform.settings.deliver_once)
    ]


async def _deliver_again(platform: Platform, worker: Worker, beside: int) -> list[Mutation]:
    """Return what the host is owed; it is written only if something of it is new."""
    async with platform.store.read() as db:
        waiting = _fitting(await mutations.undecided(db, worker.host_id), beside)
    if any(mutation.status == Status.PENDING for mutation in waiting):
        async with platform.store.write() as db:
            delivered = await _deliver(db, platform, worker, beside)
        platform.changes.note(worker.org_id)
        return delivered
    return [] if platform.settings.deliver_once else waiting


def _fitting(waiting: list[tuple[Mutation, int]], beside: int) -> list[Mutation]:
    count = fitting((size_for_host(*one) for one in waiting), beside)
    return [mutation for mutation, _ in waiting[:count]]
