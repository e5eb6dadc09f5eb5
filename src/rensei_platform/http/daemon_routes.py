"""The calls below /api/daemon: mutations and credentials, by API key."""

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from rensei_platform.errors import InvalidRequestError
from rensei_platform.http.requests import (
    answer,
    authenticated,
    bearer,
    limit,
    platform_of,
    read_json,
)
from rensei_platform.http.streams import EventStream, StreamResponse
from rensei_platform.rules.credentials import Scope
from rensei_platform.rules.fields import check_text, mapping, optional_text, text
from rensei_platform.rules.mutations import for_operator
from rensei_platform.rules.times import wire_time
from rensei_platform.services import credentials, mutations, rotations
from rensei_platform.services.announcements import MUTATIONS
from rensei_platform.services.audit import note
from rensei_platform.services.callers import is_stale_token
from rensei_platform.services.streams import admit_stream

WORKER_PREFIX = "wkr_"
"""Of a worker's id, which a stream may name as its session."""
DEFAULT_ENVIRONMENT = "production"


async def list_mutations(request: Request) -> Response:
    """GET /api/daemon/mutations: the latest of one host, newest first."""
    caller = await authenticated(request)
    count = limit(request.query_params)
    host_id = text(request.query_params, "workerHostId")
    found = await mutations.history(platform_of(request), caller, host_id, count)
    return answer({"mutations": [for_operator(mutation) for mutation in found]})


async def enqueue(request: Request) -> Response:
    """POST /api/daemon/mutations: ask a host for a change."""
    caller = await authenticated(request)
    body = await read_json(request)
    idempotency_key = request.headers.get("idempotency-key")
    if idempotency_key is not None:
        check_text(idempotency_key, "Idempotency-Key", longest=256)
    mutation = await mutations.enqueue(
        platform_of(request),
        caller,
        host_id=text(body, "workerHostId"),
        op=text(body, "op"),
        params=mapping(body, "params"),
        idempotency_key=idempotency_key,
    )
    return answer({"mutation": for_operator(mutation)})


async def cancel(request: Request) -> Response:
    """DELETE /api/daemon/mutations/{mutation_id}: possible until it is delivered."""
    caller = await authenticated(request)
    mutation_id = text(request.path_params, "mutation_id")
    if await mutations.cancel(platform_of(request), caller, mutation_id):
        return answer({"cancelled": True})
    return answer({"cancelled": False, "reason": "already_delivered"}, status=409)


async def snapshot(request: Request) -> Response:
    """POST /api/daemon/credentials/snapshot: everything that a session sees.

    A stale runtime token is sent to the sign-in page, as the public platform does.
    """
    platform = platform_of(request)
    if is_stale_token(platform, bearer(request)):
        return RedirectResponse("/login", status_code=307)
    caller = await authenticated(request)
    body = await read_json(request)
    org_id = text(body, "orgId")
    project_id = optional_text(body, "projectId")
    session_id = optional_text(body, "sessionId")
    if project_id is None and session_id is None:
        raise InvalidRequestError("projectId or sessionId is required")
    scope = Scope(project_id or "", optional_text(body, "envName") or DEFAULT_ENVIRONMENT)
    content, left = await credentials.take_snapshot(
        platform, caller, org_id, session_id, scope
    )
    if left is None:
        return answer(content)
    return answer(
        content, background=BackgroundTask(platform.snapshot_notes.add_entry, left)
    )


async def rotate(request: Request) -> Response:
    """POST /api/daemon/credentials/rotate: resolve a kind again and tell the sessions."""
    platform = platform_of(request)
    caller = await authenticated(request)
    body = await read_json(request)
    org_id, kind = text(body, "orgId"), text(body, "kind")
    done = await rotations.rotate(platform, caller, org_id, kind)
    content = {
        "ok": True,
        "kind": done.kind,
        "sessionCount": done.session_count,
        "rotatedAt": wire_time(done.rotated_at),
        "rotationId": done.id,
    }
    audit = BackgroundTask(
        note, platform, caller, rotations.ROTATE, kind, sessions=done.session_count
    )
    return answer(content, background=audit)


async def rotate_stream(request: Request) -> Response:
    """GET /api/daemon/credentials/rotate-stream: events while it is open."""
    platform = platform_of(request)
    caller = await authenticated(request)
    session_id = text(request.query_params, "sessionId")
    worker_id = optional_text(request.query_params, "workerId")
    if worker_id is None and session_id.startswith(WORKER_PREFIX):
        worker_id = session_id
    admission = await admit_stream(platform, caller, session_id, worker_id)
    stream = EventStream(platform.hub, caller.org_id, caller.key_id, session_id, admission)
    return StreamResponse(stream, first=MUTATIONS if admission.is_owed else b"")


async def login(request: Request) -> Response:  # noqa: ARG001 - Starlette's signature
    """GET or POST /login: the sign-in page of the wire, which is the console's here."""
    return RedirectResponse("/console/sign-in", status_code=303)


ROUTES = (
    Route("/api/daemon/mutations", list_mutations, methods=["GET"]),
    Route("/api/daemon/mutations", enqueue, methods=["POST"]),
    Route("/api/daemon/mutations/{mutation_id}", cancel, methods=["DELETE"]),
    Route("/api/daemon/credentials/snapshot", snapshot, methods=["POST"]),
    Route("/api/daemon/credentials/rotate", rotate, methods=["POST"]),
    Route("/api/daemon/credentials/rotate-stream", rotate_stream, methods=["GET"]),
    Route("/login", login, methods=["GET", "POST"]),
)
