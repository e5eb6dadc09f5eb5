"""The laboratory door: what the public wire has no endpoint for.

No part of the public wire; for the `platform` commands, demos and labs. Loopback peers
only, and no browser: a page that has found the port is sent away with 403. Whatever
names an org or a host takes its id or its name.

::

    GET    /lab/state        everything the platform knows, credentials by name only
    POST   /lab/orgs         {name, id?}
    POST   /lab/keys         {org, role, owner?}; the answer alone shows the key
    POST   /lab/hosts        {org, name, id?}
    POST   /lab/host-status  {host, status, recommendedAction?, candidatePoolIds?};
                             a null status sends no hostStatus any more
    POST   /lab/credentials  {org, kind, name, value, projectId?, envName?, staged?};
                             tells nobody; staged waits for the next rotation
    DELETE /lab/streams      ends every live rotate stream
"""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from ipaddress import ip_address

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rensei_daemon.local_platform import mutations, wire
from rensei_daemon.local_platform.records import Host, Json
from rensei_daemon.local_platform.refusal import forbidden, invalid
from rensei_daemon.local_platform.state import State

_Rule = Callable[[State, Json], Json]


def _add_org(state: State, body: Json) -> Json:
    org = state.add_org(wire.text(body, "name"), id=wire.optional_text(body, "id"))
    return {"org": asdict(org)}


def _add_key(state: State, body: Json) -> Json:
    org = state.org(wire.text(body, "org"))
    role, owner = wire.text(body, "role"), wire.optional_text(body, "owner")
    return {
        "key": {
            "orgId": org.id,
            "role": role,
            "token": state.add_key(org.id, role, owner=owner),
        }
    }


def _add_host(state: State, body: Json) -> Json:
    org, name = wire.text(body, "org"), wire.text(body, "name")
    host = state.add_host(org, name, id=wire.optional_text(body, "id"))
    return {"host": _host(host)}


def _set_host_status(state: State, body: Json) -> Json:
    pools = body.get("candidatePoolIds")
    if pools is not None and not (
        isinstance(pools, list) and all(isinstance(pool, str) for pool in pools)
    ):
        raise invalid("candidatePoolIds must be a list of ids")
    host = state.set_host_status(
        wire.text(body, "host"),
        wire.optional_text(body, "status"),
        recommended_action=wire.optional_text(body, "recommendedAction"),
        candidate_pool_ids=pools,
    )
    return {"host": _host(host)}


def _set_credential(state: State, body: Json) -> Json:
    value = body.get("value")
    if not isinstance(value, str):
        raise invalid("value must be a string")
    credential = state.set_credential(
        wire.text(body, "org"),
        wire.text(body, "kind"),
        wire.text(body, "name"),
        value,
        project_id=wire.optional_text(body, "projectId"),
        env_name=wire.optional_text(body, "envName"),
        is_staged=body.get("staged") is True,
    )
    return {"credential": {"id": credential.id, "name": credential.name}}


def _read_state(state: State, body: Json) -> Json:  # noqa: ARG001 - a rule's signature
    tables = state.tables
    return {
        "orgs": [asdict(org) for org in tables.orgs.values()],
        "hosts": [_host(host) for host in state.hosts],
        "registrations": len(state.workers),
        "mutations": [
            mutations.for_operator(m) | {"error": m.error} for m in state.mutations
        ],
        "acks": [
            {"at": a.at, "hostId": a.host_id, "id": a.mutation_id, "error": a.error}
            for a in state.acks
        ],
        "credentials": [
            {
                "orgId": c.org_id,
                "kind": c.kind,
                "name": c.name,
                "projectId": c.project_id,
                "envName": c.env_name,
                "staged": c.staged is not None,
            }
            for c in tables.credentials.values()
        ],
        "liveStreams": len(state.streams),
        "audit": [
            {
                "at": entry.at,
                "orgId": entry.org_id,
                "actor": entry.actor,
                "action": entry.action,
                "detail": entry.detail,
            }
            for entry in state.audit
        ],
    }


def _drop_streams(state: State, body: Json) -> Json:  # noqa: ARG001 - a rule's signature
    return {"dropped": state.drop_streams()}


def _host(host: Host) -> Json:
    return {
        "id": host.id,
        "orgId": host.org_id,
        "name": host.name,
        "machineId": host.machine_id,
        "workerId": host.worker_id,
        "registrations": host.registrations,
        "status": host.status,
        "lastBeat": host.last_beat,
        "lastBeatAt": host.last_beat_at,
        "createdAt": host.created_at,
    }


def _guarded(rule: _Rule) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        _require_local_program(request)
        body = await wire.read_json(request) if request.method == "POST" else {}
        return wire.answer(rule(request.app.state.platform, body))

    return endpoint


def _require_local_program(request: Request) -> None:
    """Refuse a peer that is not on this host, and a browser even if it is."""
    peer = request.client.host if request.client else ""
    is_browser = "origin" in request.headers or "sec-fetch-site" in request.headers
    if is_browser or not peer or not ip_address(peer).is_loopback:
        raise forbidden("/lab is for programs on this host")


ROUTES = (
    Route("/lab/state", _guarded(_read_state), methods=["GET"]),
    Route("/lab/orgs", _guarded(_add_org), methods=["POST"]),
    Route("/lab/keys", _guarded(_add_key), methods=["POST"]),
    Route("/lab/hosts", _guarded(_add_host), methods=["POST"]),
    Route("/lab/host-status", _guarded(_set_host_status), methods=["POST"]),
    Route("/lab/credentials", _guarded(_set_credential), methods=["POST"]),
    Route("/lab/streams", _guarded(_drop_streams), methods=["DELETE"]),
)
