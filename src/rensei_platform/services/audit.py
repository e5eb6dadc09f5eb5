"""Audit entries that are written after the answer."""

from typing import Any

import structlog

from rensei_platform.errors import UnavailableError
from rensei_platform.rules.callers import Caller
from rensei_platform.services.platform import Platform
from rensei_platform.store import audit

_log = structlog.get_logger()


async def note(
    platform: Platform, caller: Caller, action: str, object_: str, **details: Any
) -> None:
    """Write an entry. The request is already answered, so a failure is only counted."""
    try:
        async with platform.store.write() as db:
            await audit.add_entry(db, caller, action, object_, platform.now(), **details)
    except UnavailableError as error:
        platform.tally.lost_entries += 1
        _log.error("audit.lost", action=action, org_id=caller.org_id, error=str(error))
