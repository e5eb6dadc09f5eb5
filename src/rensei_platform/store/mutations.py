"""Statements about mutations: each change of state is one conditional UPDATE."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    RowMapping,
    Select,
    Update,
    bindparam,
    case,
    delete,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from rensei_platform.rules.drift import ProjectRequest
from rensei_platform.rules.mutations import (
    MOST_DELIVERED,
    PROJECT_OPS,
    Mutation,
    Outcomes,
    Status,
)
from rensei_platform.store.tables import UNDECIDED, hosts, idempotency_keys, mutations
from rensei_platform.store.types import Time

_COLUMNS = (
    mutations.c.seq,
    mutations.c.id,
    mutations.c.org_id,
    mutations.c.host_id,
    mutations.c.op,
    mutations.c.params,
    mutations.c.status,
    mutations.c.requested_by,
    mutations.c.created_at,
    mutations.c.delivered_at,
    mutations.c.decided_at,
    mutations.c.cancelled_at,
    mutations.c.error,
)


async def next_seq(db: AsyncConnection, org_id: str, host_id: str) -> int | None:
    """Return the next place in a host's history. None if the org has no such host.

    It locks the host's row, so that the order of commits is the order of places.
    """
    found = await db.execute(
        update(hosts)
        .where((hosts.c.id == host_id) & (hosts.c.org_id == org_id))
        .where(hosts.c.removed_at.is_(None))
        .values(last_seq=hosts.c.last_seq + 1)
        .returning(hosts.c.last_seq)
    )
    seq: int | None = found.scalar_one_or_none()
    return seq


async def add_mutation(
    db: AsyncConnection, mutation: Mutation, *, size: int, key_id: str
) -> None:
    """Store a pending mutation."""
    await db.execute(
        insert(mutations).values(
            host_id=mutation.host_id,
            seq=mutation.seq,
            id=mutation.id,
            org_id=mutation.org_id,
            op=mutation.op,
            params=mutation.params,
            size=size,
            status=Status.PENDING,
            requested_by=mutation.requested_by,
            key_id=key_id,
            created_at=mutation.created_at,
        )
    )


def undecided_statement(host_id: str) -> Select[Any]:
    """Return the query of what a host is owed: an index holds nothing else."""
    return (
        select(*_COLUMNS, mutations.c.size)
        .where((mutations.c.host_id == host_id) & text(UNDECIDED))
        .order_by(mutations.c.seq)
        .limit(MOST_DELIVERED)
    )


async def undecided(db: AsyncConnection, host_id: str) -> list[tuple[Mutation, int]]:
    """Return the oldest mutations that wait for the host, with the size of their params."""
    found = await db.execute(undecided_statement(host_id))
    return [(_mutation(row), row["size"]) for row in found.mappings()]


async def mark_delivered(
    db: AsyncConnection, host_id: str, seqs: Sequence[int], now: datetime
) -> set[int]:
    """Close the cancel window of these; return those that were still pending."""
    found = await db.execute(
        update(mutations)
        .where((mutations.c.host_id == host_id) & mutations.c.seq.in_(seqs))
        .where(mutations.c.status == Status.PENDING)
        .values(status=Status.DELIVERED, delivered_at=now)
        .returning(mutations.c.seq)
    )
    return set(found.scalars())


async def decide(
    db: AsyncConnection, host_id: str, outcomes: Outcomes, now: datetime
) -> dict[str, int]:
    """Store the outcomes of delivered mutations; return how many counted by status.

    The first outcome of a mutation counts; of foreign and undelivered ids none does.
    """
    decided: dict[str, int] = {}
    if outcomes.applied:
        changed = await db.execute(
            _decision(host_id, mutations.c.id.in_(outcomes.applied)).values(
                status=Status.APPLIED, decided_at=now
            )
        )
        decided[Status.APPLIED] = changed.rowcount
    if outcomes.failed:
        failure = _decision(host_id, mutations.c.id == bindparam("failed_id"))
        changed = await db.execute(
            failure.values(
                status=Status.FAILED, decided_at=now, error=bindparam("failed_error")
            ),
            [{"failed_id": id_, "failed_error": text} for id_, text in outcomes.failed],
        )
        decided[Status.FAILED] = changed.rowcount
    return decided


async def count_delivered(db: AsyncConnection, host_id: str, ids: Collection[str]) -> int:
    """Return how many of these were delivered to a host, whatever became of them."""
    count = await db.scalar(
        select(func.count())
        .select_from(mutations)
        .where(mutations.c.id.in_(ids) & (mutations.c.host_id == host_id))
        .where(mutations.c.delivered_at.is_not(None))
    )
    return int(count or 0)


def _decision(host_id: str, which: ColumnElement[bool]) -> Update:
    return (
        update(mutations)
        .where(which & (mutations.c.host_id == host_id))
        .where(mutations.c.status == Status.DELIVERED)
    )


async def cancel(db: AsyncConnection, org_id: str, mutation_id: str, now: datetime) -> bool:
    """Cancel a mutation; whether it was still pending."""
    changed = await db.execute(
        update(mutations)
        .where((mutations.c.id == mutation_id) & (mutations.c.org_id == org_id))
        .where(mutations.c.status == Status.PENDING)
        .values(status=Status.CANCELLED, cancelled_at=now)
    )
    return bool(changed.rowcount)


async def cancel_all(db: AsyncConnection, host_id: str, now: datetime, error: str) -> int:
    """Cancel what a host has not decided, delivered or not; return how many."""
    changed = await db.execute(
        update(mutations)
        .where((mutations.c.host_id == host_id) & text(UNDECIDED))
        .values(status=Status.CANCELLED, cancelled_at=now, error=error)
    )
    return changed.rowcount


def mutation_statement(org_id: str, mutation_id: str) -> Select[Any]:
    """Return the query of one mutation."""
    return select(*_COLUMNS).where(
        (mutations.c.id == mutation_id) & (mutations.c.org_id == org_id)
    )


async def get_mutation(
    db: AsyncConnection, org_id: str, mutation_id: str
) -> Mutation | None:
    """Return a mutation of an organization. None if it has no such one."""
    found = await db.execute(mutation_statement(org_id, mutation_id))
    row = found.mappings().one_or_none()
    return None if row is None else _mutation(row)


def history_statement(host_id: str, limit: int, before: int | None = None) -> Select[Any]:
    """Return the query of a host's latest mutations: one walk down the primary key."""
    query = select(*_COLUMNS).where(mutations.c.host_id == host_id)
    if before is not None:
        query = query.where(mutations.c.seq < before)
    return query.order_by(mutations.c.seq.desc()).limit(limit)


async def history(
    db: AsyncConnection, host_id: str, limit: int, before: int | None = None
) -> list[Mutation]:
    """Return the latest mutations of a host, before a place in it, newest first."""
    found = await db.execute(history_statement(host_id, limit, before))
    return [_mutation(row) for row in found.mappings()]


def project_requests_statement(host_ids: Collection[str], limit: int) -> Select[Any]:
    """Return the query of what the latest `limit` mutations of hosts ask of projects.

    Equal requests are one row. They are compared as their stored text, which needs no
    reading of the JSON: not every database reads what `params` may hold.
    """
    is_applied = case((mutations.c.status == Status.APPLIED, mutations.c.seq))
    changed_at = func.coalesce(mutations.c.decided_at, mutations.c.created_at)
    return (
        select(
            mutations.c.host_id,
            mutations.c.op,
            mutations.c.params,
            func.max(mutations.c.seq).label("seq"),
            func.max(is_applied).label("applied_seq"),
            func.max(changed_at, type_=Time).label("changed_at"),
        )
        .join(hosts, hosts.c.id == mutations.c.host_id)
        .where(hosts.c.id.in_(host_ids))
        .where(mutations.c.seq > hosts.c.last_seq - limit)
        .where(mutations.c.op.in_(PROJECT_OPS))
        .where(mutations.c.status.not_in((Status.FAILED, Status.CANCELLED)))
        .group_by(mutations.c.host_id, mutations.c.op, mutations.c.params)
    )


async def project_requests(
    db: AsyncConnection, host_ids: Collection[str], limit: int
) -> dict[str, list[ProjectRequest]]:
    """Return host id -> what its latest mutations ask of its projects."""
    found: dict[str, list[ProjectRequest]] = {}
    for row in await db.execute(project_requests_statement(host_ids, limit)):
        host_id, op, params, seq, applied_seq, changed_at = row
        found.setdefault(host_id, []).append(
            ProjectRequest(
                op=op,
                params=params,
                seq=seq,
                applied_seq=applied_seq,
                changed_at=changed_at,
            )
        )
    return found


def waiting_statement(host_ids: Collection[str]) -> Select[Any]:
    """Return the query of how many mutations wait for each of these hosts."""
    return (
        select(mutations.c.host_id, func.count().label("waiting"))
        .where(mutations.c.host_id.in_(host_ids) & text(UNDECIDED))
        .group_by(mutations.c.host_id)
    )


async def count_waiting(db: AsyncConnection, host_ids: Collection[str]) -> dict[str, int]:
    """Return host id -> how many mutations it is owed or has not decided."""
    found = await db.execute(waiting_statement(host_ids))
    return {row.host_id: row.waiting for row in found}


async def find_request(
    db: AsyncConnection, org_id: str, key_id: str, idempotency_key: str, since: datetime
) -> tuple[str, str] | None:
    """Return (digest, mutation id) of the same request since a time. None if none."""
    found = await db.execute(
        select(idempotency_keys.c.request_digest, idempotency_keys.c.mutation_id).where(
            (idempotency_keys.c.org_id == org_id)
            & (idempotency_keys.c.key_id == key_id)
            & (idempotency_keys.c.idempotency_key == idempotency_key)
            & (idempotency_keys.c.created_at >= since)
        )
    )
    row = found.one_or_none()
    return None if row is None else (row.request_digest, row.mutation_id)


async def note_request(db: AsyncConnection, **values: Any) -> None:
    """Store an idempotency key; one that has expired is replaced."""
    same = (
        (idempotency_keys.c.org_id == values["org_id"])
        & (idempotency_keys.c.key_id == values["key_id"])
        & (idempotency_keys.c.idempotency_key == values["idempotency_key"])
    )
    await db.execute(idempotency_keys.delete().where(same))
    await db.execute(insert(idempotency_keys).values(**values))


def _mutation(row: RowMapping) -> Mutation:
    return Mutation(**{column.name: row[column.name] for column in _COLUMNS})


# ---- pruning -----------------------------------------------------------------------------


class Pruned(NamedTuple):
    """What one step over a host's oldest mutations has done."""

    removed: int
    last_seq: int | None
    """Where the next step goes on. None: the rest is too young, or there is none."""


async def next_host(db: AsyncConnection, after: str) -> str | None:
    """Return the next host's id. None behind the last one."""
    found = await db.scalars(
        select(hosts.c.id).where(hosts.c.id > after).order_by(hosts.c.id).limit(1)
    )
    return found.one_or_none()


async def prune(
    db: AsyncConnection, host_id: str, after: int, before: datetime, limit: int
) -> Pruned:
    """Look at a host's mutations behind `after`; remove those decided before a time."""
    decided_at = func.coalesce(mutations.c.decided_at, mutations.c.cancelled_at)
    found = await db.execute(
        select(mutations.c.seq, mutations.c.created_at, decided_at.label("decided_at"))
        .where((mutations.c.host_id == host_id) & (mutations.c.seq > after))
        .order_by(mutations.c.seq)
        .limit(limit)
    )
    rows = found.all()
    old = [
        row.seq for row in rows if row.decided_at is not None and row.decided_at < before
    ]
    if old:
        await db.execute(
            delete(mutations)
            .where((mutations.c.host_id == host_id) & mutations.c.seq.in_(old))
            .where(mutations.c.status.not_in((Status.PENDING, Status.DELIVERED)))
        )
    is_last = len(rows) < limit or rows[-1].created_at >= before
    return Pruned(len(old), None if is_last else rows[-1].seq)
