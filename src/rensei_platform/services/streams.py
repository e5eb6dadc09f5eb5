"""Streams: who may open one, and whether there is room for it."""

from rensei_platform.errors import UnavailableError
from rensei_platform.rules.callers import Access, Caller, require_access
from rensei_platform.services.platform import Platform
from rensei_platform.store.credentials import values_version

FULL_RETRY_SECONDS = 10


async def admit_stream(platform: Platform, caller: Caller) -> int:
    """Return the version of the values from which on a new stream hears of rotations.

    Raise ForbiddenError if the caller may not listen, UnavailableError if too many do.
    """
    require_access(caller, Access.STREAM)
    most = platform.settings.most_streams
    if most is not None and len(platform.hub) >= most:
        platform.log_limit.warning(
            "streams.full",
            most=most,
            hint="Raise LimitNOFILE of the service, or serve from one more replica.",
        )
        raise UnavailableError(
            "Too many streams are open", retry_after_seconds=FULL_RETRY_SECONDS
        )
    async with platform.store.read() as db:
        return await values_version(db, caller.org_id)
