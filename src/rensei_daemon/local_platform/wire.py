"""JSON in and out: requests into typed values, or a 400 that says why; answers as text.

It knows the types of the fields, and none of the rules about them.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from starlette.background import BackgroundTask
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from rensei_daemon.local_platform.mutations import Outcomes
from rensei_daemon.local_platform.records import Json
from rensei_daemon.local_platform.refusal import RefusalError, invalid

_LARGEST_BODY = 16 * 1024 * 1024
_STATUSES = ("idle", "busy", "draining")


def answer(
    content: Json, *, status: int = 200, background: BackgroundTask | None = None
) -> Response:
    """Write an answer in ASCII: a lone surrogate in a value must not break the rest."""
    return Response(
        json.dumps(content, separators=(",", ":")),
        status,
        media_type="application/json",
        background=background,
    )


def bearer(request: Request) -> str | None:
    """Return the bearer of the Authorization header, if there is one."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" and value.strip() else None


async def read_json(request: Request) -> Json:
    """Return the body, which must be a JSON object of at most 16 MiB."""
    try:
        body = json.loads(await _whole_body(request), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise invalid("body must be JSON") from None
    if not isinstance(body, dict):
        raise invalid("body must be a JSON object")
    return body


async def _whole_body(request: Request) -> bytes:
    """Read to the end, though it be too much: who still sends would miss the no."""
    raw, is_too_large = bytearray(), False
    try:
        async for chunk in request.stream():
            is_too_large = is_too_large or len(raw) + len(chunk) > _LARGEST_BODY
            raw += b"" if is_too_large else chunk
    except ClientDisconnect:
        raise invalid("body must be whole") from None
    if is_too_large:
        raise RefusalError(413, "body too large")
    return bytes(raw)


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def text(body: Mapping[str, Any], name: str) -> str:
    """Return a string that must be there and not be empty."""
    value = optional_text(body, name)
    if value is None:
        raise invalid(f"{name} is required")
    return value


def optional_text(body: Mapping[str, Any], name: str) -> str | None:
    """Return a string; None when absent, null or empty."""
    value = body.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise invalid(f"{name} must be a string")
    return value


def positive(body: Json, name: str) -> int:
    """Return a number that must be above zero."""
    value = _whole(body, name)
    if value is None or value <= 0:
        raise invalid(f"{name} must be a positive number")
    return value


def mapping(body: Json, name: str) -> Json:
    """Return an object that must be there."""
    value = body.get(name)
    if not isinstance(value, dict):
        raise invalid(f"{name} must be an object")
    return value


def limit(query: Mapping[str, str]) -> int:
    """Return how many rows are asked for: 1 to 500, and 100 when nothing is said."""
    value = query.get("limit", "100")
    if not re.fullmatch("[0-9]{1,3}", value) or not 1 <= int(value) <= 500:
        raise invalid("limit must be between 1 and 500")
    return int(value)


def check_beat(body: Json, *, count_name: str) -> None:
    """Refuse a heartbeat whose count or status is not one."""
    count = _whole(body, count_name)
    if count is None or count < 0:
        raise invalid(f"{count_name} must be a non-negative number")
    if body.get("status", "idle") not in _STATUSES:
        raise invalid(f"status must be one of: {', '.join(_STATUSES)}")


def outcomes(body: Json) -> Outcomes:
    """Return what a heartbeat says of mutations."""
    applied = body.get("appliedMutations", [])
    failed = body.get("mutationFailures", [])
    if not isinstance(applied, list) or not all(isinstance(i, str) for i in applied):
        raise invalid("appliedMutations must be a list of ids")
    if not isinstance(failed, list) or not all(_is_failure(item) for item in failed):
        raise invalid("mutationFailures must be a list of {id, error}")
    return Outcomes(
        applied=tuple(applied),
        failed=tuple((item["id"], item["error"]) for item in failed),
    )


def _is_failure(item: object) -> bool:
    return isinstance(item, dict) and all(
        isinstance(item.get(name), str) for name in ("id", "error")
    )


def _whole(body: Json, name: str) -> int | None:
    value = body.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
