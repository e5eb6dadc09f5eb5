"""The calls below /api/admin/rotations: what became of the rotations."""

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
)
from rensei_platform.rules.fields import Json, check_text
from rensei_platform.rules.receipts import SessionUptake
from rensei_platform.rules.times import wire_time
from rensei_platform.services import receipts
from rensei_platform.services.receipts import RotationReceipt

MOST_NAMED = 1000
"""Sessions and hosts that an answer names of each sort; the counts are always whole."""
MOST_EXCLUDED = 1000


async def list_rotations(request: Request) -> Response:
    """GET /api/admin/rotations?limit=: newest first."""
    caller = await authenticated(request)
    count = limit(request.query_params)
    rows = await receipts.list_rotations(platform_of(request), caller, count)
    return answer({"rotations": [_rotation(row) for row in rows]})


async def get_rotation(request: Request) -> Response:
    """GET /api/admin/rotations/{rotation_id}?acceptUnknown=&without=HOST: the receipt."""
    caller = await authenticated(request)
    query = request.query_params
    accept_unknown = flag(query, "acceptUnknown")
    without = query.getlist("without")
    if len(without) > MOST_EXCLUDED:
        raise InvalidRequestError(
            f"without must not be repeated over {MOST_EXCLUDED} times"
        )
    found = await receipts.rotation_receipt(
        platform_of(request),
        caller,
        request.path_params["rotation_id"],
        without=[check_text(host, "without") for host in without],
        accept_unknown=accept_unknown,
    )
    return answer({"rotation": _rotation(found.rotation), "receipt": _receipt(found)})


def _rotation(row: RowMapping) -> Json:
    return {
        "id": row["id"],
        "kind": row["kind"],
        "version": row["version"],
        "requestedBy": row["requested_by"],
        "rotatedAt": wire_time(row["rotated_at"]),
        "sessionCount": row["session_count"],
        "durationMs": row["duration_ms"],
    }


def _receipt(found: RotationReceipt) -> Json:
    receipt, names = found.receipt, found.names
    return {
        "notified": receipt.notified,
        "held": receipt.held,
        "confirmed": receipt.confirmed,
        "received": receipt.received,
        "unknown": receipt.unknown,
        "behindCount": len(receipt.behind),
        "behind": [_behind(one, names[one.host_id]) for one in receipt.behind[:MOST_NAMED]],
        "unknownHosts": _named(receipt.unknown_hosts, found),
        "unknownKeys": _named(receipt.unknown_keys, found),
        "vanishedHosts": _named(receipt.vanished_hosts, found),
        "safeToRevoke": receipt.is_safe,
        "obstacles": list(receipt.obstacles),
    }


def _behind(session: SessionUptake, host: str) -> Json:
    return {
        "hostId": session.host_id,
        "host": host,
        "sessionId": session.session_id,
        "version": session.version,
        "behind": list(session.behind),
    }


def _named(ids: tuple[str, ...], found: RotationReceipt) -> list[Json]:
    return [{"id": id_, "name": found.names.get(id_)} for id_ in ids[:MOST_NAMED]]


ROUTES = (
    Route("/api/admin/rotations", list_rotations, methods=["GET"]),
    Route("/api/admin/rotations/{rotation_id}", get_rotation, methods=["GET"]),
)
