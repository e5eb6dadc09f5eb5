"""How a host becomes a worker, and how a worker gets another token: the two requests.

They hold no state and keep nothing; `identity` decides when they are made.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote

from rensei_daemon.core.worker import Registration, Worker, claims
from rensei_daemon.errors import RefusedError, TransientError, UnauthorizedError
from rensei_daemon.platform_api import wire
from rensei_daemon.platform_api.api_key import ActiveApiKey
from rensei_daemon.platform_api.http import Http
from rensei_daemon.platform_api.responses import PlatformResponse

REGISTER = "/api/workers/register"
OLD_REGISTER = "/v1/daemon/register"

NO_SUCH_ENDPOINT = frozenset({404, 405})


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """What the platform gave this host."""

    worker_id: str
    token: str = field(repr=False)
    """Empty for old kinds of keys, which are the worker's bearer themselves."""
    expires_at: datetime | None
    heartbeat_seconds: float | None
    host_id: str
    """The platform's row of this host; empty: the answer does not say."""
    answered_at: datetime
    """By the platform's clock, where it told."""
    by_old_endpoint: bool = False


async def register(http: Http, key: ActiveApiKey, registration: Registration) -> Granted:
    """Register this host; where today's endpoint is missing, with the older one.

    Raises what a call raises, and `TransientError` for an answer that names no worker.
    A refusal says what to look at.
    """
    body = wire.registration_body(registration)
    is_old = False
    try:
        answer = await key.ask(
            lambda bearer: http.call("POST", REGISTER, bearer=bearer, body=body)
        )
    except RefusedError as error:
        if error.status not in NO_SUCH_ENDPOINT:
            raise _explained(error) from None
        try:
            answer = await key.ask(lambda token: _old_register(http, registration, token))
        except RefusedError as refusal:
            raise _explained(refusal) from None
        is_old = True
    grant = wire.grant(answer.body)
    if not grant.worker_id:
        raise TransientError("the platform answered a registration without a workerId")
    return _granted(http, grant, answer, worker_id=grant.worker_id, is_old=is_old)


def _explained(error: RefusedError) -> RefusedError:
    """Return the refusal of a registration with what an operator can look at."""
    if error.status in NO_SUCH_ENDPOINT:
        error.hint = "nothing there registers hosts: look at platform.url"
    elif not error.hint:
        error.hint = (
            "look at what this host registers with, [machine] and [projects]: "
            "rensei-daemon config show"
        )
    return error


async def _old_register(
    http: Http, registration: Registration, key: str
) -> PlatformResponse:
    body = wire.old_registration_body(registration, key)
    return await http.call("POST", OLD_REGISTER, body=body, secrets=(key,))


async def refresh(http: Http, key: ActiveApiKey, worker: Worker) -> Granted:
    """Fetch another token for the worker.

    It is asked for with the key, as deployed platforms want it; the reference asks for
    the worker's own token instead, so that is tried when the key is not accepted. The
    key comes first because the token is what may have expired. Raises what a call
    raises (404 and 405: the worker is gone), and `TransientError` for no token.
    """
    path = f"/api/workers/{quote(worker.id, safe='')}/refresh-token"

    async def ask(bearer: str) -> PlatformResponse:
        secrets = (worker.token,)
        return await http.call("POST", path, bearer=bearer, body={}, secrets=secrets)

    try:
        answer = await key.ask(ask)
    except UnauthorizedError:
        if not worker.token:
            raise
        answer = await ask(worker.token)
    grant = wire.grant(answer.body)
    if not grant.token:
        raise TransientError("the platform answered a refresh without a token")
    return _granted(http, grant, answer, worker_id=worker.id)


def _granted(
    http: Http,
    grant: wire.Grant,
    answer: PlatformResponse,
    *,
    worker_id: str,
    is_old: bool = False,
) -> Granted:
    return Granted(
        worker_id=worker_id,
        token=grant.token,
        expires_at=grant.expires_at or _own_expiry(grant.token),
        heartbeat_seconds=grant.heartbeat_seconds,
        host_id=grant.host_id,
        answered_at=answer.date or http.now(),
        by_old_endpoint=is_old,
    )


def _own_expiry(token: str) -> datetime | None:
    """Return the expiry a token itself carries."""
    try:
        return datetime.fromtimestamp(claims(token)["exp"], UTC)
    except (KeyError, TypeError, ValueError, OverflowError, OSError):
        return None
