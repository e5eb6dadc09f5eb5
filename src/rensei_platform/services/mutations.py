"""Mutations: an operator's side of them."""

import hashlib
import json
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from rensei_platform.bus.messages import Message, Topic
from rensei_platform.errors import (
    ConflictError,
    InvalidRequestError,
    NotFoundError,
)
from rensei_platform.ids import new_id
from rensei_platform.rules.callers import Access, Caller, require_access, require_admin
from rensei_platform.rules.fields import Json
from rensei_platform.rules.mutations import (
    MOST_BYTES_OF_PARAMS,
    Mutation,
    Status,
    check_params,
    parse_op,
)
from rensei_platform.services.platform import Platform
from rensei_platform.store import audit, hosts, mutations, outcome_counts

IDEMPOTENT_FOR = timedelta(hours=24)


async def history(
    platform: Platform, caller: Caller, host_id: str, limit: int
) -> list[Mutation]:
    """Return the latest mutations of a host, newest first. Raise NotFoundError."""
    require_access(caller, Access.READ_MUTATIONS)
    async with platform.store.read() as db:
        if await hosts.get_host(db, caller.org_id, host_id) is None:
            raise NotFoundError("Worker host not found")
        return await mutations.history(db, host_id, limit)


async def enqueue(
    platform: Platform,
    caller: Caller,
    *,
    host_id: str,
    op: object,
    params: Json,
    idempotency_key: str | None = None,
) -> Mutation:
    """Ask a host for a change; it is delivered with the host's next heartbeat.

    The same key and request within a day is the same mutation. Raise InvalidRequestError
    for nonsense, NotFoundError for an unknown host, ConflictError for a key that was used
    for another request.
    """
    require_admin(caller, Access.WRITE_MUTATIONS)
    known_op = parse_op(op)
    size = _check_size(params)
    check_params(known_op, params)
    request = None
    if idempotency_key is not None:
        request = (idempotency_key, _digest(host_id, known_op, params))
    async with platform.store.write() as db:
        seq = await mutations.next_seq(db, caller.org_id, host_id)
        if seq is None:
            raise NotFoundError("Worker host not found")
        now = platform.now()
        if request and (same := await _find_same(db, caller, request, now)):
            return same
        mutation = Mutation(
            seq=seq,
            id=new_id("dmut"),
            org_id=caller.org_id,
            host_id=host_id,
            op=known_op,
            params=params,
            status=Status.PENDING,
            requested_by=caller.name,
            created_at=now,
        )
        await _store(db, caller, mutation, size, request)
    await platform.bus.publish(Message(Topic.HOST_PENDING, (host_id,)))
    platform.changes.note(caller.org_id)
    return mutation


def _check_size(params: Json) -> int:
    size = len(json.dumps(params, separators=(",", ":")))
    if size > MOST_BYTES_OF_PARAMS:
        raise InvalidRequestError("params must have at most 256 KiB as JSON")
    return size


async def _store(
    db: AsyncConnection,
    caller: Caller,
    mutation: Mutation,
    size: int,
    request: tuple[str, str] | None,
) -> None:
    """Store a mutation, the request that made it, and who asked for it."""
    await mutations.add_mutation(db, mutation, size=size, key_id=caller.key_id)
    if request:
        await _note_request(db, caller, request, mutation)
    await audit.add_entry(
        db,
        caller,
        "mutation.enqueue",
        mutation.id,
        mutation.created_at,
        op=mutation.op,
        host=mutation.host_id,
    )


async def _find_same(
    db: AsyncConnection, caller: Caller, request: tuple[str, str], now: datetime
) -> Mutation | None:
    """Return the mutation that the same request made. None if there was no such request.

    Raise ConflictError if its key came with another request.
    """
    key, digest = request
    known = await mutations.find_request(
        db, caller.org_id, caller.key_id, key, now - IDEMPOTENT_FOR
    )
    if known is None:
        return None
    known_digest, mutation_id = known
    if known_digest != digest:
        raise ConflictError("Idempotency-Key was used for another request")
    return await mutations.get_mutation(db, caller.org_id, mutation_id)


async def _note_request(
    db: AsyncConnection, caller: Caller, request: tuple[str, str], mutation: Mutation
) -> None:
    key, digest = request
    await mutations.note_request(
        db,
        org_id=caller.org_id,
        key_id=caller.key_id,
        idempotency_key=key,
        request_digest=digest,
        mutation_id=mutation.id,
        created_at=mutation.created_at,
    )


async def cancel(platform: Platform, caller: Caller, mutation_id: str) -> bool:
    """Cancel a mutation; False if it is delivered or decided. Raise NotFoundError."""
    require_admin(caller, Access.WRITE_MUTATIONS)
    now = platform.now()
    async with platform.store.write() as db:
        if await mutations.cancel(db, caller.org_id, mutation_id, now):
            await audit.add_entry(db, caller, "mutation.cancel", mutation_id, now)
            await outcome_counts.add(db, caller.org_id, {Status.CANCELLED: 1}, now)
            is_cancelled = True
        elif await mutations.get_mutation(db, caller.org_id, mutation_id) is None:
            raise NotFoundError("Mutation not found")
        else:
            is_cancelled = False
    if is_cancelled:
        platform.changes.note(caller.org_id)
    return is_cancelled


def _digest(host_id: str, op: str, params: Json) -> str:
    text = json.dumps([host_id, op, params], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
