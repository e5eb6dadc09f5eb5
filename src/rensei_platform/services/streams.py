"""Streams: who may open one, and whether there is room for it."""

from rensei_platform.errors import UnavailableError
from rensei_platform.rules.callers import Access, Caller, require_access
from rensei_platform.services.platform import Platform

FULL_RETRY_SECONDS = 10


def require_stream(platform: Platform, caller: Caller) -> None:
    """Raise ForbiddenError if the caller may not listen, UnavailableError if it is full."""
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
