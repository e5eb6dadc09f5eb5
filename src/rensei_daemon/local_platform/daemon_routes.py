"""The endpoints under /api/daemon: credentials and mutations, by API key.

Each use is audited after its answer has gone out, and without values.
"""

from typing import Any

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from rensei_daemon.local_platform import access, mutations, rotation, wire
from rensei_daemon.local_platform.access import Caller
from rensei_daemon.local_platform.credentials import Scope
from rensei_daemon.local_platform.refusal import invalid
from rensei_daemon.local_platform.state import State
from rensei_daemon.local_platform.streams import EventStream, LiveStream


def _audited(state: State, caller: Caller, action: str, **detail: Any) -> BackgroundTask:
    async def write() -> None:
        state.log(caller.org_id, caller.actor, action, detail)

    return BackgroundTask(write)


async def snapshot(request: Request) -> Response:
    """POST /api/daemon/credentials/snapshot: everything a session sees, merged flat.

    A stale runtime token is sent to the login page, as a browser would be: the public
    platform does that here, and a client must not take the page for an answer.
    """
    state: State = request.app.state.platform
    bearer = wire.bearer(request)
    if access.is_stale_token(state, bearer):
        return RedirectResponse("/login", status_code=307)
    caller = access.operator_caller(state, bearer)
    body = await wire.read_json(request)
    access.require_org(caller, wire.text(body, "orgId"))
    project_id = wire.optional_text(body, "projectId")
    session_id = wire.optional_text(body, "sessionId")
    if project_id is None and session_id is None:
        raise invalid("projectId or sessionId is required")
    scope = Scope(project_id, wire.optional_text(body, "envName") or "production")
    if session_id is not None:
        state.session_scopes[caller.org_id, session_id] = scope
    answer = rotation.snapshot(state, caller.org_id, scope)
    audit = _audited(
        state,
        caller,
        "credentials.snapshot",
        sessionId=session_id,
        projectId=project_id,
        envName=scope.env_name,
        names=sorted(answer["env"]),
    )
    return wire.answer(answer, background=audit)


async def rotate(request: Request) -> Response:
    """POST /api/daemon/credentials/rotate: new values, fanned out to live streams."""
    state: State = request.app.state.platform
    caller = access.operator_caller(state, wire.bearer(request))
    body = await wire.read_json(request)
    access.require_org(caller, wire.text(body, "orgId"))
    done = rotation.rotate(state, caller.org_id, wire.text(body, "kind"))
    audit = _audited(
        state,
        caller,
        "credentials.rotate",
        kind=done.kind,
        names=list(done.names),
        sessionCount=done.session_count,
    )
    answer = {
        "ok": True,
        "kind": done.kind,
        "sessionCount": done.session_count,
        "rotatedAt": done.rotated_at,
    }
    return wire.answer(answer, background=audit)


async def rotate_stream(request: Request) -> Response:
    """GET /api/daemon/credentials/rotate-stream: UPDATE events while it is open."""
    state: State = request.app.state.platform
    caller = access.operator_caller(state, wire.bearer(request))
    stream = LiveStream(caller.org_id, wire.text(request.query_params, "sessionId"))
    return EventStream(
        stream,
        keepalive_seconds=state.settings.keepalive_seconds,
        on_open=state.open_stream,
        on_close=state.close_stream,
    )


async def list_mutations(request: Request) -> Response:
    """GET /api/daemon/mutations: the latest of one host, newest first."""
    state: State = request.app.state.platform
    caller = access.operator_caller(state, wire.bearer(request))
    limit = wire.limit(request.query_params)
    host_id = wire.text(request.query_params, "workerHostId")
    found = mutations.listed(state, access.own_host(state, caller, host_id), limit)
    return wire.answer({"mutations": [mutations.for_operator(m) for m in found]})


async def enqueue(request: Request) -> Response:
    """POST /api/daemon/mutations: ask a host for a change; admins and owners only."""
    state: State = request.app.state.platform
    caller = access.operator_caller(state, wire.bearer(request))
    access.require_admin(caller)
    body = await wire.read_json(request)
    host_id, op = wire.text(body, "workerHostId"), wire.text(body, "op")
    params = wire.mapping(body, "params")
    host = access.own_host(state, caller, host_id)
    mutation = mutations.enqueue(state, host, op, params, requested_by=caller.actor)
    audit = _audited(state, caller, "mutations.enqueue", id=mutation.id, op=op)
    answer = {"mutation": mutations.for_operator(mutation)}
    return wire.answer(answer, background=audit)


async def cancel(request: Request) -> Response:
    """DELETE /api/daemon/mutations/{id}: possible until a beat has picked it up."""
    state: State = request.app.state.platform
    caller = access.operator_caller(state, wire.bearer(request))
    mutation_id = request.path_params["mutation_id"]
    if not mutations.cancel(state, caller.org_id, mutation_id):
        answer = {"cancelled": False, "reason": "already_delivered"}
        return wire.answer(answer, status=409)
    audit = _audited(state, caller, "mutations.cancel", id=mutation_id)
    return wire.answer({"cancelled": True}, background=audit)


async def login(request: Request) -> Response:  # noqa: ARG001 - Starlette's signature
    """GET or POST /login: the page a browser would be sent to."""
    return HTMLResponse("<!doctype html><title>Sign in</title><h1>Sign in</h1>")


LOGIN = Route("/login", login, methods=["GET", "POST"])
ROUTES = (
    Route("/api/daemon/credentials/snapshot", snapshot, methods=["POST"]),
    Route("/api/daemon/credentials/rotate", rotate, methods=["POST"]),
    Route("/api/daemon/credentials/rotate-stream", rotate_stream, methods=["GET"]),
    Route("/api/daemon/mutations", list_mutations, methods=["GET"]),
    Route("/api/daemon/mutations", enqueue, methods=["POST"]),
    Route("/api/daemon/mutations/{mutation_id}", cancel, methods=["DELETE"]),
)
