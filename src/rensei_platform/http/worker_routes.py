"""The calls of a worker host: register, beat, renew the token, poll for work."""

from math import ceil

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rensei_platform.errors import UnauthorizedError
from rensei_platform.http.requests import (
    answer,
    authenticated,
    bearer,
    platform_of,
    read_json,
)
from rensei_platform.rules.callers import Access
from rensei_platform.rules.fields import text
from rensei_platform.rules.reports import parse_beat, parse_registration
from rensei_platform.rules.times import wire_time
from rensei_platform.services import workers
from rensei_platform.services.callers import worker_of_key, worker_of_token
from rensei_platform.store.workers import Worker
from rensei_platform.tokens import is_token


async def register(request: Request) -> Response:
    """POST /api/workers/register: the key in the header, intervals in milliseconds."""
    platform = platform_of(request)
    caller = await authenticated(request)
    registration = parse_registration(await read_json(request), "capacity")
    registered = await workers.register(platform, caller, registration)
    return answer(
        {
            "workerId": registered.worker_id,
            "heartbeatInterval": platform.settings.heartbeat_interval_ms,
            "pollInterval": platform.settings.poll_interval_ms,
            "runtimeToken": registered.token,
            "runtimeTokenExpiresAt": wire_time(registered.expires_at),
        }
    )


async def register_daemon(request: Request) -> Response:
    """POST /v1/daemon/register: the key in the body, intervals in seconds."""
    platform = platform_of(request)
    body = await read_json(request)
    key = text(body, "registrationToken")
    caller = await authenticated(request, key)
    registration = parse_registration(body, "maxAgents")
    registered = await workers.register(platform, caller, registration)
    settings = platform.settings
    return answer(
        {
            "workerId": registered.worker_id,
            "runtimeJwt": registered.token,
            "heartbeatIntervalSeconds": ceil(settings.heartbeat_interval_ms / 1000),
            "pollIntervalSeconds": ceil(settings.poll_interval_ms / 1000),
        }
    )


async def refresh_token(request: Request) -> Response:
    """POST /api/workers/{worker_id}/refresh-token: a new token for the same worker."""
    renewed = workers.renew(platform_of(request), await _worker(request))
    expires_at = wire_time(renewed.expires_at)
    return answer(
        {
            "runtimeToken": renewed.token,
            "runtimeTokenExpiresAt": expires_at,
            "expiresAt": expires_at,
        }
    )


async def heartbeat(request: Request) -> Response:
    """POST /api/workers/{worker_id}/heartbeat: reports and outcomes in, mutations out."""
    worker = await _worker(request)
    beat = parse_beat(await read_json(request), "activeCount")
    return answer(await workers.answer_beat(platform_of(request), worker, beat))


async def heartbeat_daemon(request: Request) -> Response:
    """POST /v1/daemon/heartbeat: a runtime token only; it brings no mutations."""
    token = bearer(request) or ""
    if not is_token(token):
        raise UnauthorizedError
    body = await read_json(request)
    worker = await worker_of_token(platform_of(request), token, text(body, "workerId"))
    beat = parse_beat(body, "activeSessions")
    return answer(await workers.answer_older_beat(platform_of(request), worker, beat))


async def poll(request: Request) -> Response:
    """GET /api/workers/{worker_id}/poll: no work is handed out here."""
    await _worker(request, Access.POLL)
    return answer({"work": []})


async def _worker(request: Request, access: Access = Access.HEARTBEAT) -> Worker:
    """Return the worker of the path, by its token or by a key that has a scope."""
    platform, token = platform_of(request), bearer(request) or ""
    worker_id = text(request.path_params, "worker_id")
    if is_token(token):
        return await worker_of_token(platform, token, worker_id)
    return await worker_of_key(platform, await authenticated(request), worker_id, access)


ROUTES = (
    Route("/v1/daemon/register", register_daemon, methods=["POST"]),
    Route("/v1/daemon/heartbeat", heartbeat_daemon, methods=["POST"]),
    Route("/api/workers/register", register, methods=["POST"]),
    Route("/api/workers/{worker_id}/heartbeat", heartbeat, methods=["POST"]),
    Route("/api/workers/{worker_id}/refresh-token", refresh_token, methods=["POST"]),
    Route("/api/workers/{worker_id}/poll", poll, methods=["GET"]),
)
