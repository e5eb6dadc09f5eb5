"""Forgetting what was decided long ago, a batch a transaction, beside the requests."""

from collections.abc import Callable
from datetime import datetime, timedelta

import anyio
import structlog
from sqlalchemy import Column

from rensei_platform.errors import UnavailableError
from rensei_platform.store import audit, mutations
from rensei_platform.store.engine import Store
from rensei_platform.store.pruning import KEPT, is_any_older, prune_older

FIRST_PRUNE_SECONDS = 30.0
"""After the start, when all hosts and sessions may be about to come back at once."""
PRUNE_SECONDS = 3600.0
BATCH = 500

_log = structlog.get_logger()


async def prune_mutations(store: Store, before: datetime) -> int:
    """Remove mutations decided before a time; return how many. An undecided one stays."""
    removed, host_id = 0, ""
    while True:
        async with store.read() as db:
            next_host = await mutations.next_host(db, host_id)
        if next_host is None:
            return removed
        host_id, seq = next_host, -1
        while True:
            async with store.write() as db:
                page = await mutations.prune(db, host_id, seq, before, BATCH)
            removed += page.removed
            if page.last_seq is None:
                break
            seq = page.last_seq


async def prune_audit(store: Store, before: datetime) -> int:
    """Remove audit entries from before a time; return how many."""
    removed = 0
    while True:
        async with store.write() as db:
            count = await audit.prune(db, before, BATCH)
        removed += count
        if count < BATCH:
            return removed


async def prune_expired(store: Store, now: datetime) -> int:
    """Remove what nothing reads any more, whatever the settings; return how many rows."""
    removed = 0
    for column, kept in KEPT.items():
        while await _is_any_older(store, column, now - kept):
            async with store.write() as db:
                removed += await prune_older(db, column, now - kept, BATCH)
    return removed


async def _is_any_older(store: Store, column: Column[datetime], before: datetime) -> bool:
    """Whether there is anything to remove: a server that starts has no need to write."""
    async with store.read() as db:
        return await is_any_older(db, column, before)


async def prune(
    store: Store,
    now: datetime,
    retention: timedelta | None,
    audit_retention: timedelta | None,
) -> None:
    """Remove what has been kept long enough; None keeps mutations or audit for ever."""
    try:
        if count := await prune_expired(store, now):
            _log.debug("expired.pruned", count=count)
        if retention is not None:
            count = await prune_mutations(store, now - retention)
            _log.debug("mutations.pruned", count=count)
        if audit_retention is not None:
            count = await prune_audit(store, now - audit_retention)
            _log.debug("audit.pruned", count=count)
    except UnavailableError as error:
        _log.warning("retention.delayed", error=str(error))


async def prune_regularly(
    store: Store,
    now: Callable[[], datetime],
    retention: timedelta | None,
    audit_retention: timedelta | None,
) -> None:
    """Prune soon after the start and then every hour, for ever."""
    await anyio.sleep(FIRST_PRUNE_SECONDS)
    while True:
        await prune(store, now(), retention, audit_retention)
        await anyio.sleep(PRUNE_SECONDS)
