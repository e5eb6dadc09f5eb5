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


async def worker_of_token(platform: Platform, token: str, worker_id: str) -> Worker:
    """Return the worker of a path, if it is the one that a runtime token is for.

    Raise UnauthorizedError, also for a token whose key was revoked, ForbiddenError for the
    token of another worker, NotFoundError for a worker that is gone, UnavailableError while
    this server cannot know what others do.
    """
    platform.availability.require()
    claims = platform.tokens.read(token, platform.now())
    if claims.worker_id != worker_id:
        raise ForbiddenError("Runtime token belongs to another worker")
    return await _worker(platform, worker_id, claims.org_id, claims.key_id)


async def worker_of_key(
    platform: Platform, caller: Caller, worker_id: str, access: Access
) -> Worker:
    """Return the worker of a path, for who has a key of its organization.

    Raise ForbiddenError for a key without this scope, NotFoundError for a worker of another
    organization.
    """
    require_access(caller, access)
    return await _worker(platform, worker_id, caller.org_id, caller.key_id)


async def _worker(platform: Platform, worker_id: str, org_id: str, key_id: str) -> Worker:
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
