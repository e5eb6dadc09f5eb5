"""The endpoints a worker host uses to register, to beat and to renew its token."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rensei_daemon.local_platform import access, wire, workers
from rensei_daemon.local_platform.records import Json
from rensei_daemon.local_platform.refusal import forbidden
from rensei_daemon.local_platform.state import State
from rensei_daemon.local_platform.workers import Registration


def _registration(body: Json, capacity_name: str) -> Registration:
    wire.positive(body, capacity_name)
    return Registration(
        hostname=wire.text(body, "hostname"),
        machine_id=wire.optional_text(body, "machineId"),
        body={name: body[name] for name in body if name != "registrationToken"},
    )


async def register(request: Request) -> Response:
    """POST /api/workers/register: the key in the header, intervals in milliseconds."""
    state: State = request.app.state.platform
    caller = access.key_caller(state, wire.bearer(request))
    body = await wire.read_json(request)
    worker = workers.register(state, caller, _registration(body, "capacity"))
    token, expires_at = workers.issue_token(state, worker)
    return wire.answer(
        {
            "workerId": worker.id,
            "heartbeatInterval": state.settings.heartbeat_interval_ms,
            "pollInterval": state.settings.poll_interval_ms,
            "runtimeToken": token,
            "runtimeTokenExpiresAt": expires_at,
        }
    )


async def register_daemon(request: Request) -> Response:
    """POST /v1/daemon/register: the key in the body, intervals in seconds."""
    state: State = request.app.state.platform
    body = await wire.read_json(request)
    caller = access.key_caller(state, wire.text(body, "registrationToken"))
    worker = workers.register(state, caller, _registration(body, "maxAgents"))
    token, _ = workers.issue_token(state, worker)
    settings = state.settings
    return wire.answer(
        {
            "workerId": worker.id,
            "runtimeJwt": token,
            "heartbeatIntervalSeconds": workers.whole_seconds(
                settings.heartbeat_interval_ms
            ),
            "pollIntervalSeconds": workers.whole_seconds(settings.poll_interval_ms),
        }
    )


async def refresh_token(request: Request) -> Response:
    """POST /api/workers/{id}/refresh-token: a new token for the same worker."""
    state: State = request.app.state.platform
    worker_id = request.path_params["worker_id"]
    worker = access.worker_caller(state, wire.bearer(request), worker_id)
    token, expires_at = workers.issue_token(state, worker)
    return wire.answer({"runtimeToken": token, "runtimeTokenExpiresAt": expires_at})


async def heartbeat(request: Request) -> Response:
    """POST /api/workers/{id}/heartbeat: acks in, what is owed out."""
    state: State = request.app.state.platform
    worker_id = request.path_params["worker_id"]
    worker = access.worker_caller(state, wire.bearer(request), worker_id)
    body = await wire.read_json(request)
    wire.check_beat(body, count_name="activeCount")
    outcomes = wire.outcomes(body)
    return wire.answer(workers.answer_beat(state, worker, body, outcomes))


async def heartbeat_daemon(request: Request) -> Response:
    """POST /v1/daemon/heartbeat: a runtime token only; it carries no mutations."""
    state: State = request.app.state.platform
    caller = access.token_caller(state, wire.bearer(request))
    body = await wire.read_json(request)
    worker_id = wire.text(body, "workerId")
    if caller.worker_id != worker_id:
        raise forbidden("Runtime token belongs to another worker")
    worker = access.worker_caller(state, wire.bearer(request), worker_id)
    wire.check_beat(body, count_name="activeSessions")
    workers.note_beat(state, worker, body)
    return wire.answer(workers.short_answer(state))


ROUTES = (
    Route("/v1/daemon/register", register_daemon, methods=["POST"]),
    Route("/v1/daemon/heartbeat", heartbeat_daemon, methods=["POST"]),
    Route("/api/workers/register", register, methods=["POST"]),
    Route("/api/workers/{worker_id}/heartbeat", heartbeat, methods=["POST"]),
    Route("/api/workers/{worker_id}/refresh-token", refresh_token, methods=["POST"]),
)
