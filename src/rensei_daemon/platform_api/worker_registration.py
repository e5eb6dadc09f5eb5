"""The two requests that register a worker and refresh its token.

They keep no state; `identity` decides when they are sent.
"""

from datetime import UTC, datetime
from urllib.parse import quote

from rensei_daemon.core.worker import Registration, Worker, claims, organisation
from rensei_daemon.errors import RefusedError, TransientError, UnauthorizedError
from rensei_daemon.fast_dataclass import dataclass, field
from rensei_daemon.platform_api import wire
from rensei_daemon.platform_api.api_key import ActiveApiKey
from rensei_daemon.platform_api.http import Http
from rensei_daemon.platform_api.responses import PlatformResponse

REGISTER = "/api/workers/register"
OLD_REGISTER = "/v1/daemon/register"

NO_SUCH_ENDPOINT = frozenset({404, 405})


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """The platform's answer to either request."""

    worker_id: str
    token: str = field(repr=False)
    """Empty for old kinds of keys, which are themselves the bearer."""
    expires_at: datetime | None
    heartbeat_seconds: float | None
    host_id: str
    """The platform's id of this host; empty if absent."""
    answered_at: datetime
    """By the platform's clock if known."""
    by_old_endpoint: bool = False

    def worker(
        self,
        before: Worker | None,
        *,
        machine_id: str,
        registered_report: str | None,
        is_loopback: bool,
    ) -> Worker:
        """Return the worker; what the answer omits stays as it was `before`."""
        pace = self.heartbeat_seconds
        if pace is not None:
            pace = min(pace if is_loopback else max(pace, 5.0), 300.0)
        elif before is not None:
            pace = before.heartbeat_seconds
        org_id = organisation(self.token)
        if before is not None and before.id == self.worker_id:
            org_id = org_id or before.org_id
        return Worker(
            id=self.worker_id,
            machine_id=machine_id,
            token=self.token,
            token_expires_at=self.expires_at,
            heartbeat_seconds=pace,
            org_id=org_id,
            host_id=self.host_id or (before.host_id if before else ""),
            registered_report=registered_report,
        )


async def register(http: Http, key: ActiveApiKey, registration: Registration) -> Granted:
    """Register this host, at the older endpoint if the current one is missing.

    Raises what `Http.call` raises, with a hint for refusals, and `TransientError` for an
    answer without a worker id.
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
    """Return the refusal of a registration with a hint for the operator."""
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
    """Fetch a new token for the worker.

    The bearer is the API key, as deployed platforms require. The protocol names the
    worker's own token instead, which is tried if the key is refused; not first, because it
    may have expired. Raises what `Http.call` raises (404 and 405: the worker is unknown),
    and `TransientError` for an answer without a token.
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
    """Return the expiry that the token itself contains."""
    try:
        return datetime.fromtimestamp(claims(token)["exp"], UTC)
    except (KeyError, TypeError, ValueError, OverflowError, OSError):
        return None
