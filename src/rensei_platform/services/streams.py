"""Streams: who may open one, whether there is room for it, and what it hears of."""

from dataclasses import dataclass

from rensei_platform.errors import UnavailableError
from rensei_platform.rules.callers import Access, Caller, require_access
from rensei_platform.services.platform import Platform
from rensei_platform.store.credentials import current_version
from rensei_platform.store.workers import find_worker

FULL_RETRY_SECONDS = 10
STOPPING_RETRY_SECONDS = 10
"""In which it has ended the others, and has been started again or is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """What a new stream hears of."""

    version: int
    """Of the organization's values: it hears of the rotations after it."""
    host_id: str | None = None
    """The host of whose mutations it hears."""
    is_of_session: bool = True
    """Whether it hears of rotations."""
    is_owed: bool = False
    """Whether a mutation waits for the host now."""


async def admit_stream(
    platform: Platform, caller: Caller, session_id: str, worker_id: str | None
) -> Admission:
    """Admit a stream of a session, or of a worker: then its id is the session's, too.

    Raise ForbiddenError if the caller may not listen, UnavailableError if too many do, or
    if the server stops.
    """
    require_access(caller, Access.STREAM)
    if platform.hub.is_ending:
        raise UnavailableError(
            "The server is stopping", retry_after_seconds=STOPPING_RETRY_SECONDS
        )
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
    version = await current_version(platform.store, caller.org_id)
    if worker_id is None:
        return Admission(version=version)
    worker = await find_worker(platform.store, worker_id, caller.key_id, platform.now())
    if worker is None or worker.org_id != caller.org_id:
        return Admission(version=version)
    return Admission(
        version=version,
        host_id=worker.host_id,
        is_of_session=session_id != worker_id,
        is_owed=worker.is_owed,
    )
