"""The public endpoints as an OpenAPI 3.1 document, served at /api/openapi.json.

Written by hand, from the public wire, beside the code and not out of it: a test drives
every path named here and holds the answers to what is said of them.
"""

from typing import Any

from rensei_daemon.local_platform.records import OPS

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
MAYBE_TEXT: Schema = {"type": ["string", "null"]}
COUNT: Schema = {"type": "integer", "minimum": 0}
POSITIVE: Schema = {"type": "integer", "minimum": 1}
FLAG: Schema = {"type": "boolean"}
ANY_OBJECT: Schema = {"type": "object"}
TEXTS: Schema = {"type": "array", "items": TEXT}
STATUS: Schema = {"type": "string", "enum": ["idle", "busy", "draining"]}
OP: Schema = {"type": "string", "enum": list(OPS)}

KEY: Schema = {"apiKey": []}
TOKEN: Schema = {"runtimeToken": []}


def _object(
    required: dict[str, Schema], optional: dict[str, Schema] | None = None
) -> Schema:
    return {
        "type": "object",
        "properties": required | (optional or {}),
        "required": list(required),
    }


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


ERROR = _object({"error": TEXT})
MUTATION = _object(
    {
        "id": TEXT,
        "orgId": TEXT,
        "workerHostId": TEXT,
        "op": OP,
        "params": ANY_OBJECT,
        "status": TEXT,
        "requestedBy": TEXT,
        "deliveredAt": MAYBE_TEXT,
        "cancelledAt": MAYBE_TEXT,
        "createdAt": TEXT,
    }
)
PENDING_MUTATION = _object(
    {
        "id": TEXT,
        "op": OP,
        "params": ANY_OBJECT,
        "requestedAt": TEXT,
        "requestedBy": TEXT,
    }
)
HOST_STATUS = _object(
    {"status": TEXT}, {"recommendedAction": TEXT, "candidatePoolIds": TEXTS}
)
ABOUT_HOST: dict[str, Schema] = {
    "machineId": TEXT,
    "version": TEXT,
    "region": TEXT,
    "capabilities": TEXTS,
}
SHORT_BEAT = {"acknowledged": FLAG, "serverTime": TEXT, "pendingWorkCount": COUNT}


def _operation(
    summary: str,
    answer: Schema,
    *,
    security: list[Schema],
    errors: tuple[int, ...],
    body: Schema | None = None,
    parameters: tuple[Schema, ...] = (),
    media_type: str = "application/json",
) -> Schema:
    operation: Schema = {
        "summary": summary,
        "security": security,
        "responses": {
            "200": _response("Done.", answer, media_type),
            **{str(status): _response("Refused.", ERROR) for status in errors},
        },
    }
    if parameters:
        operation["parameters"] = list(parameters)
    if body is not None:
        content = {"application/json": {"schema": body}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _response(
    description: str, schema: Schema, media_type: str = "application/json"
) -> Schema:
    return {"description": description, "content": {media_type: {"schema": schema}}}


def _path(name: str) -> Schema:
    return {"name": name, "in": "path", "required": True, "schema": TEXT}


def _query(name: str, schema: Schema, *, required: bool) -> Schema:
    return {"name": name, "in": "query", "required": required, "schema": schema}


_REGISTER_DAEMON = _operation(
    "Register a worker host; the key is in the body, intervals are in seconds.",
    _object(
        {
            "workerId": TEXT,
            "runtimeJwt": TEXT,
            "heartbeatIntervalSeconds": POSITIVE,
            "pollIntervalSeconds": POSITIVE,
        }
    ),
    security=[],
    errors=(400, 401),
    body=_object(
        {"registrationToken": TEXT, "hostname": TEXT, "maxAgents": POSITIVE},
        ABOUT_HOST | {"activeAgentCount": COUNT, "status": STATUS},
    ),
)
_HEARTBEAT_DAEMON = _operation(
    "Say that a worker is alive; mutations travel on the other heartbeat.",
    _object(SHORT_BEAT),
    security=[TOKEN],
    errors=(400, 401, 403, 404),
    body=_object(
        {"workerId": TEXT, "activeSessions": COUNT},
        {"hostname": TEXT, "status": STATUS, "maxSessions": COUNT},
    ),
)
_REGISTER = _operation(
    "Register a worker host; intervals are in milliseconds.",
    _object(
        {
            "workerId": TEXT,
            "heartbeatInterval": POSITIVE,
            "pollInterval": POSITIVE,
            "runtimeToken": MAYBE_TEXT,
            "runtimeTokenExpiresAt": MAYBE_TEXT,
        }
    ),
    security=[KEY],
    errors=(400, 401),
    body=_object(
        {"hostname": TEXT, "capacity": POSITIVE},
        ABOUT_HOST
        | {
            "projectIds": TEXTS,
            "daemonProjects": _list(_object({"id": TEXT, "repository": TEXT})),
            "projectAdmissionVersion": POSITIVE,
            "projectAdmissionMode": TEXT,
            "provides": _list(_object({"kind": TEXT})),
            "hostInfo": ANY_OBJECT,
        },
    ),
)
_HEARTBEAT = _operation(
    "Say that a worker is alive, ack mutations, and be told the owed ones.",
    _object(
        SHORT_BEAT,
        {"hostStatus": HOST_STATUS, "pendingMutations": _list(PENDING_MUTATION)},
    ),
    security=[TOKEN, KEY],
    errors=(400, 401, 403, 404),
    parameters=(_path("worker_id"),),
    body=_object(
        {"activeCount": COUNT},
        {
            "status": STATUS,
            "maxSessions": COUNT,
            "load": ANY_OBJECT,
            "loadAverage": ANY_OBJECT,
            "allowlistHash": TEXT,
            "allowlist": _list(_object({"id": TEXT, "repository": TEXT})),
            "enabledProjectIds": TEXTS,
            "projectAdmissionMode": TEXT,
            "appliedMutations": TEXTS,
            "mutationFailures": _list(_object({"id": TEXT, "error": TEXT})),
        },
    ),
)
_REFRESH = _operation(
    "Get a new runtime token for the same worker.",
    _object({"runtimeToken": TEXT, "runtimeTokenExpiresAt": TEXT}),
    security=[KEY, TOKEN],
    errors=(401, 403, 404),
    parameters=(_path("worker_id"),),
)
_SNAPSHOT = _operation(
    "Get every credential a session sees: org, project and environment, merged.",
    _object(
        {
            "env": {"type": "object", "additionalProperties": TEXT},
            "refreshUntil": TEXT,
        }
    ),
    security=[KEY],
    errors=(400, 401, 403),
    body=_object({"orgId": TEXT}, {"projectId": TEXT, "envName": TEXT, "sessionId": TEXT}),
)
_SNAPSHOT["responses"]["307"] = {
    "description": "A stale runtime token is sent to the login page.",
    "headers": {"location": {"schema": TEXT}},
}
_ROTATE = _operation(
    "Resolve a kind of credential anew, and tell the org's live streams.",
    _object({"ok": FLAG, "kind": TEXT, "sessionCount": COUNT, "rotatedAt": TEXT}),
    security=[KEY],
    errors=(400, 401, 403, 404),
    body=_object({"orgId": TEXT, "kind": TEXT}),
)
_ROTATE_STREAM = _operation(
    "Listen for UPDATE events; nothing is replayed.",
    TEXT,
    security=[KEY],
    errors=(400, 401),
    parameters=(_query("sessionId", TEXT, required=True),),
    media_type="text/event-stream",
)
_LIST = _operation(
    "List the latest mutations of a host, newest first.",
    _object({"mutations": _list(MUTATION)}),
    security=[KEY],
    errors=(400, 401, 404),
    parameters=(
        _query("workerHostId", TEXT, required=True),
        _query(
            "limit",
            {"type": "integer", "minimum": 1, "maximum": 500, "default": 100},
            required=False,
        ),
    ),
)
_ENQUEUE = _operation(
    "Ask a host for a change; the key's owner must be an admin or owner.",
    _object({"mutation": MUTATION}),
    security=[KEY],
    errors=(400, 401, 403, 404),
    body=_object({"workerHostId": TEXT, "op": OP, "params": ANY_OBJECT}),
)
_CANCEL = _operation(
    "Cancel a mutation that no heartbeat has picked up yet.",
    _object({"cancelled": FLAG}),
    security=[KEY],
    errors=(401, 404),
    parameters=(_path("mutation_id"),),
)
_CANCEL["responses"]["409"] = _response(
    "Too late.", _object({"cancelled": FLAG, "reason": TEXT})
)

DOCUMENT: Schema = {
    "openapi": "3.1.0",
    "info": {"title": "Rensei platform, local", "version": "1"},
    "components": {
        "securitySchemes": {
            "apiKey": {"type": "http", "scheme": "bearer"},
            "runtimeToken": {
                "type": "http",
                "scheme": "bearer",
                "bearerFormat": "JWT",
            },
        }
    },
    "paths": {
        "/v1/daemon/register": {"post": _REGISTER_DAEMON},
        "/v1/daemon/heartbeat": {"post": _HEARTBEAT_DAEMON},
        "/api/workers/register": {"post": _REGISTER},
        "/api/workers/{worker_id}/heartbeat": {"post": _HEARTBEAT},
        "/api/workers/{worker_id}/refresh-token": {"post": _REFRESH},
        "/api/daemon/credentials/snapshot": {"post": _SNAPSHOT},
        "/api/daemon/credentials/rotate": {"post": _ROTATE},
        "/api/daemon/credentials/rotate-stream": {"get": _ROTATE_STREAM},
        "/api/daemon/mutations": {"get": _LIST, "post": _ENQUEUE},
        "/api/daemon/mutations/{mutation_id}": {"delete": _CANCEL},
    },
}
