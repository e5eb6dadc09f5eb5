"""The calls below /api/admin: what owners and admins of an organization do."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rensei_platform.errors import InvalidRequestError
from rensei_platform.http.requests import (
    answer,
    authenticated,
    flag,
    limit,
    platform_of,
    read_json,
)
from rensei_platform.ids import new_id
from rensei_platform.providers.database import ValueScope
from rensei_platform.rules.callers import Role
from rensei_platform.rules.drift import ProjectState
from rensei_platform.rules.fields import (
    Json,
    called,
    check_id,
    check_text,
    choice,
    mapping,
    optional_count,
    optional_flag,
    optional_id,
    optional_mapping,
    optional_text,
    optional_texts,
    optional_time,
    text,
)
from rensei_platform.rules.refresh import LEAST_WATCH_SECONDS, MOST_WATCH_SECONDS
from rensei_platform.rules.reports import REPORTED, parse_host_status
from rensei_platform.rules.times import optional_wire_time, wire_time
from rensei_platform.services import (
    administration,
    comparison,
    credentials,
    decommissioning,
)
from rensei_platform.services.resolver import Failure
from rensei_platform.store.audit import Filter
from rensei_platform.store.credentials import StoredBinding

LONGEST_VALUE = 256 * 1024


# ---- hosts -------------------------------------------------------------------------------


async def list_hosts(request: Request) -> Response:
    """GET /api/admin/hosts?limit=&after=NAME&afterId=ID&removed=: hosts by name and id."""
    caller = await authenticated(request)
    query = request.query_params
    rows = await administration.list_hosts(
        platform_of(request),
        caller,
        after=(optional_text(query, "after") or "", optional_text(query, "afterId")),
        limit=limit(query),
        removed=flag(query, "removed"),
    )
    return answer({"hosts": [_host(request, row) for row in rows]})


async def get_host(request: Request) -> Response:
    """GET /api/admin/hosts/{host_id}: also what it was asked for, acked and reports."""
    caller = await authenticated(request)
    host_id = text(request.path_params, "host_id")
    row = await administration.get_host(platform_of(request), caller, host_id)
    seen_at = _presence(request, row)[0]
    projects = await comparison.project_states(platform_of(request), row, seen_at)
    cloned = await administration.is_cloned(platform_of(request), host_id)
    return answer(
        {
            "host": _host(request, row),
            "cloned": cloned,
            "projects": [_project(one) for one in projects],
        }
    )


def _project(state: ProjectState) -> Json:
    return {
        "id": state.id,
        "asked": state.asked,
        "acked": state.acked,
        "reported": state.reported,
        "drift": state.is_drift,
    }


async def add_host(request: Request) -> Response:
    """POST /api/admin/hosts {name, id?}: add a host before it registers."""
    caller = await authenticated(request)
    body = await read_json(request)
    host_id = await administration.add_host(
        platform_of(request), caller, called(body), optional_id(body, "id")
    )
    return answer({"id": host_id}, status=201)


async def remove_host(request: Request) -> Response:
    """DELETE /api/admin/hosts/{host_id}?force=: a host that will not come back."""
    caller = await authenticated(request)
    cancelled = await decommissioning.remove_host(
        platform_of(request),
        caller,
        text(request.path_params, "host_id"),
        force=flag(request.query_params, "force"),
    )
    return answer({"ok": True, "cancelledMutations": cancelled})


async def set_host_status(request: Request) -> Response:
    """PUT /api/admin/hosts/{host_id}/status {hostStatus}: what the host is told."""
    caller = await authenticated(request)
    status = parse_host_status(await read_json(request))
    host_id = text(request.path_params, "host_id")
    await administration.set_host_status(platform_of(request), caller, host_id, status)
    return answer({"ok": True})


def _presence(request: Request, row: RowMapping) -> tuple[datetime | None, int | None]:
    """Return when a host was seen last, and how many sessions were active."""
    newer = platform_of(request).presence.get(row["id"])
    return newer or (row["last_seen_at"], row["active_count"])


def _host(request: Request, row: RowMapping) -> Json:
    seen_at, active = _presence(request, row)
    return {
        "id": row["id"],
        "name": row["hostname"],
        "machineId": row["machine_id"],
        "version": row["version"],
        "region": row["region"],
        "capacity": row["capacity"],
        "hostInfo": row["host_info"],
        "registrations": row["registrations"],
        "registeredAt": optional_wire_time(row["registered_at"]),
        "lastSeenAt": optional_wire_time(seen_at),
        "activeCount": active or 0,
        "reported": {name: row[column] for name, column in REPORTED.items()},
        "reportedAt": optional_wire_time(row["reported_at"]),
        "hostStatus": row["host_status"],
        "createdAt": wire_time(row["created_at"]),
        "removedAt": optional_wire_time(row["removed_at"]),
    }


# ---- organizations and keys --------------------------------------------------------------


async def add_org(request: Request) -> Response:
    """POST /api/admin/orgs {id, name, owner}: for operators of the platform."""
    caller = await authenticated(request)
    body = await read_json(request)
    org_id = text(body, "id")
    made = await administration.add_org(
        platform_of(request), caller, org_id, called(body), text(body, "owner")
    )
    return answer({"orgId": org_id, "key": made.text, "keyId": made.id}, status=201)


async def add_key(request: Request) -> Response:
    """POST /api/admin/keys {name, forHost?, owner?, role?, projects?, environments?}."""
    caller = await authenticated(request)
    body = await read_json(request)
    if optional_flag(body, "personal"):
        name = called(body)
        token = await administration.add_token(platform_of(request), caller, name)
        return answer({"id": token.id, "key": token.text}, status=201)
    role = choice(body, "role", tuple(Role)) if "role" in body else None
    made = await administration.add_key(
        platform_of(request),
        caller,
        name=called(body),
        for_host=optional_flag(body, "forHost") or False,
        owner=optional_text(body, "owner"),
        role=Role(role) if role else None,
        projects=optional_texts(body, "projects"),
        environments=optional_texts(body, "environments"),
    )
    return answer({"id": made.id, "key": made.text}, status=201)


async def list_keys(request: Request) -> Response:
    """GET /api/admin/keys."""
    rows = await administration.list_keys(
        platform_of(request), await authenticated(request)
    )
    keys = [
        {
            "id": row["id"],
            "name": row["name"],
            "kind": row["kind"],
            "prefix": row["prefix"],
            "scopes": row["scopes"],
            "projects": row["projects"],
            "environments": row["environments"],
            "createdAt": wire_time(row["created_at"]),
            "revokedAt": optional_wire_time(row["revoked_at"]),
        }
        for row in rows
    ]
    return answer({"keys": keys})


async def revoke_key(request: Request) -> Response:
    """DELETE /api/admin/keys/{key_id}: the key is refused from now on."""
    caller = await authenticated(request)
    key_id = text(request.path_params, "key_id")
    await administration.revoke_key(platform_of(request), caller, key_id)
    return answer({"ok": True})


# ---- credentials -------------------------------------------------------------------------


async def set_values(request: Request) -> Response:
    """PUT /api/admin/credentials/{kind}/values {values, projectId?, envName?}."""
    caller = await authenticated(request)
    body = await read_json(request)
    values = {
        check_text(name, "a name", longest=256): _value(name, value)
        for name, value in mapping(body, "values").items()
    }
    if not values:
        raise InvalidRequestError("values must hold at least one name")
    scope = ValueScope(
        caller.org_id,
        check_id(text(request.path_params, "kind"), "kind"),
        _limit(body, "projectId"),
        _limit(body, "envName"),
    )
    await credentials.set_values(platform_of(request), caller, scope, values)
    return answer({"ok": True, "names": sorted(values)})


def _limit(given: Mapping[str, Any], name: str) -> str:
    """Return the only project or environment of values; empty, for all, if absent or null.

    An empty text is refused: an unset variable would give the values to all.
    """
    if given.get(name) == "":
        raise InvalidRequestError(f"{name} is empty; omit it if all may have the values")
    return optional_id(given, name) or ""


def _value(name: str, value: object) -> str:
    """Return a value; a variable may be empty."""
    return "" if value == "" else check_text(value, name, longest=LONGEST_VALUE)


async def list_credentials(request: Request) -> Response:
    """GET /api/admin/credentials: kinds and where their values come from; no values."""
    caller = await authenticated(request)
    found = await credentials.list_bindings(platform_of(request), caller)
    failures = platform_of(request).values.resolver.failures
    shown = [
        _binding(one)
        | {
            "resolvedAt": optional_wire_time(stored.resolved_at if stored else None),
            "failure": _failure(failures.get(one.id)),
        }
        for one, stored in found
    ]
    return answer({"bindings": shown})


def _failure(failure: Failure | None) -> Json | None:
    if failure is None:
        return None
    at, error = wire_time(failure.at), failure.error
    return {"at": at, "cause": error.cause, "error": str(error)}


async def bind(request: Request) -> Response:
    """PUT /api/admin/credentials/{kind}/binding {provider, path, names?, watchSeconds?}."""
    caller = await authenticated(request)
    body = await read_json(request)
    names = optional_mapping(body, "names") or {}
    binding = StoredBinding(
        id=new_id("bind"),
        org_id=caller.org_id,
        kind=check_id(text(request.path_params, "kind"), "kind"),
        project_id=_limit(body, "projectId"),
        environment=_limit(body, "envName"),
        provider=text(body, "provider"),
        path=text(body, "path"),
        names={name: check_text(value, f"names.{name}") for name, value in names.items()},
        watch_seconds=_watch_seconds(body),
    )
    error = await credentials.bind(platform_of(request), caller, binding)
    failure = None if error is None else {"cause": error.cause, "error": str(error)}
    return answer({"binding": _binding(binding), "failure": failure})


def _watch_seconds(body: Json) -> int | None:
    seconds = optional_count(body, "watchSeconds")
    if seconds is not None and not LEAST_WATCH_SECONDS <= seconds <= MOST_WATCH_SECONDS:
        raise InvalidRequestError(
            f"watchSeconds must be between {LEAST_WATCH_SECONDS} and {MOST_WATCH_SECONDS}"
        )
    return seconds


async def unbind(request: Request) -> Response:
    """DELETE /api/admin/credentials/{kind}/binding?projectId=&envName=."""
    caller = await authenticated(request)
    query = request.query_params
    await credentials.unbind(
        platform_of(request),
        caller,
        text(request.path_params, "kind"),
        _limit(query, "projectId"),
        _limit(query, "envName"),
    )
    return answer({"ok": True})


def _binding(binding: StoredBinding) -> Json:
    return {
        "kind": binding.kind,
        "projectId": binding.project_id or None,
        "envName": binding.environment or None,
        "provider": binding.provider,
        "path": binding.path,
        "names": dict(binding.names),
        "watchSeconds": binding.watch_seconds,
    }


# ---- audit -------------------------------------------------------------------------------


async def list_audit(request: Request) -> Response:
    """GET /api/admin/audit?limit=&before=SEQ&actor=&action=&since=TIME: newest first."""
    caller = await authenticated(request)
    query = request.query_params
    before = query.get("before", "")
    if before and not (before.isascii() and before.isdigit() and len(before) <= 18):
        raise InvalidRequestError("before must be a whole number")
    rows = await administration.list_audit(
        platform_of(request),
        caller,
        Filter(
            before=int(before) if before else None,
            actor=optional_text(query, "actor"),
            action=optional_text(query, "action"),
            since=optional_time(query, "since"),
        ),
        limit(query),
    )
    entries = [
        {
            "seq": row["seq"],
            "at": wire_time(row["at"]),
            "actor": row["actor"],
            "action": row["action"],
            "object": row["object"],
            "outcome": row["outcome"],
            "count": row["count"],
            "address": row["address"],
            "details": row["details"],
        }
        for row in rows
    ]
    content: Json = {"entries": entries}
    if len(entries) == limit(query):
        content["before"] = entries[-1]["seq"]  # for the next page
    return answer(content)


ROUTES = (
    Route("/api/admin/hosts", list_hosts, methods=["GET"]),
    Route("/api/admin/hosts", add_host, methods=["POST"]),
    Route("/api/admin/hosts/{host_id}", get_host, methods=["GET"]),
    Route("/api/admin/hosts/{host_id}", remove_host, methods=["DELETE"]),
    Route("/api/admin/hosts/{host_id}/status", set_host_status, methods=["PUT"]),
    Route("/api/admin/orgs", add_org, methods=["POST"]),
    Route("/api/admin/keys", list_keys, methods=["GET"]),
    Route("/api/admin/keys", add_key, methods=["POST"]),
    Route("/api/admin/keys/{key_id}", revoke_key, methods=["DELETE"]),
    Route("/api/admin/credentials", list_credentials, methods=["GET"]),
    Route("/api/admin/credentials/{kind}/values", set_values, methods=["PUT"]),
    Route("/api/admin/credentials/{kind}/binding", bind, methods=["PUT"]),
    Route("/api/admin/credentials/{kind}/binding", unbind, methods=["DELETE"]),
    Route("/api/admin/audit", list_audit, methods=["GET"]),
)
