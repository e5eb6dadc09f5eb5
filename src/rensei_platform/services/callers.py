"""Who asks: API keys and runtime tokens."""

from dataclasses import replace

from rensei_platform.errors import ForbiddenError, NotFoundError, UnauthorizedError
from rensei_platform.ids import digest
from rensei_platform.rules.callers import Access, Caller, require_access
from rensei_platform.services.platform import Platform
from rensei_platform.store import orgs, workers
from rensei_platform.store.workers import Worker
from rensei_platform.tokens import is_token

KEY_PREFIXES = ("rsk_live_", "rsu_live_", "rsp_live_")


async def caller_of(platform: Platform, bearer: str | None, address: str) -> Caller:
    """Return who a key speaks for.

    Raise UnauthorizedError for a key that is none, TooManyRequestsError for an address
    that has offered too many of those. A good key is not held up by its neighbours.
    Raise UnavailableError while this server cannot know what others do.
    """
    platform.availability.require()
    if bearer is not None and bearer.startswith(KEY_PREFIXES):
        now = platform.now()
        found = await orgs.caller_of_key(platform.store, digest(bearer), now)
        if found is not None:
            return replace(found, address=address)
    platform.failures.check(address)
    platform.failures.count(address)
    raise UnauthorizedError


async def worker_of(
    platform: Platform, bearer: str | None, worker_id: str, address: str
) -> Worker:
    """Return the worker of a path, if the bearer, a token or a key, may speak for it.

    Raise UnauthorizedError, also for a token whose key was revoked, ForbiddenError for the
    token of another worker, NotFoundError for a worker of another organization,
    UnavailableError while this server cannot know what others do.
    """
    platform.availability.require()
    if is_token(bearer or ""):
        claims = platform.tokens.read(bearer or "", platform.now())
        if claims.worker_id != worker_id:
            raise ForbiddenError("Runtime token belongs to another worker")
        org_id, key_id = claims.org_id, claims.key_id
    else:
        caller = await caller_of(platform, bearer, address)
        require_access(caller, Access.HEARTBEAT)
        org_id, key_id = caller.org_id, caller.key_id
    worker = await workers.find_worker(platform.store, worker_id, key_id, platform.now())
    if worker is None or worker.org_id != org_id:
        raise NotFoundError("Worker not found")
    if not worker.is_key_valid:
        raise UnauthorizedError
    return worker


def is_stale_token(platform: Platform, bearer: str | None) -> bool:
    """Whether a bearer is a runtime token that is not valid, or no more."""
    if bearer is None or not is_token(bearer):
        return False
    try:
        platform.tokens.read(bearer, platform.now())
    except UnauthorizedError:
        return True
    return False
