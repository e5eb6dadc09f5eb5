"""Requests in, answers out: bounded, checked, and always JSON."""

import json
import random
from collections.abc import Mapping

from starlette.background import BackgroundTask
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from rensei_platform.errors import (
    InvalidRequestError,
    PlatformError,
    TooLargeError,
    TooManyRequestsError,
    UnavailableError,
)
from rensei_platform.rules.callers import Caller
from rensei_platform.rules.fields import Json
from rensei_platform.rules.json_text import read_object
from rensei_platform.services.callers import caller_of
from rensei_platform.services.platform import Platform

MOST_BODY_BYTES = 4 * 1024 * 1024
MOST_LISTED = 500


def platform_of(request: Request) -> Platform:
    """Return the resources of the server that has the request."""
    platform: Platform = request.app.state.platform
    return platform


def bearer(request: Request) -> str | None:
    """Return the bearer of the Authorization header. None if there is none."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" and value.strip() else None


def address(request: Request) -> str:
    """Return the address that the request came from."""
    return request.client.host if request.client else ""


async def authenticated(request: Request, key: str | None = None) -> Caller:
    """Return who asks, with the key in the header unless it is given.

    Raise UnauthorizedError, TooManyRequestsError.
    """
    key = key or bearer(request)
    caller = await caller_of(platform_of(request), key, address(request))
    request.state.caller = caller  # whom a refusal is counted for
    return caller


def answer(
    content: Json, *, status: int = 200, background: BackgroundTask | None = None
) -> Response:
    """Return an answer. It is written in ASCII, so that no character can break it."""
    return Response(
        json.dumps(content, separators=(",", ":")),
        status,
        media_type="application/json",
        background=background,
    )


def refusal(error: PlatformError) -> Response:
    """Return an error as an answer, with when to return if that is known."""
    response = answer({"error": str(error)}, status=error.status)
    if isinstance(error, UnavailableError):
        response.headers["retry-after"] = str(_spread(error.retry_after_seconds))
    elif isinstance(error, TooManyRequestsError):
        response.headers["retry-after"] = str(error.retry_after_seconds)
    return response


def _spread(seconds: int) -> int:
    """Return a wait of at least so many seconds; a fleet must not return all at once."""
    return random.randint(seconds, 2 * seconds)  # noqa: S311 - no secret


async def read_json(request: Request) -> Json:
    """Return the body, a JSON object.

    Raise InvalidRequestError if it is none, TooLargeError for more than 4 MiB.
    """
    return read_object(await _read_body(request), "body")


async def _read_body(request: Request) -> bytes:
    """Read to the end, also what is too large: who still sends would miss the answer."""
    body, is_too_large = bytearray(), False
    try:
        async for chunk in request.stream():
            is_too_large = is_too_large or len(body) + len(chunk) > MOST_BODY_BYTES
            if not is_too_large:
                body += chunk
    except ClientDisconnect:
        raise InvalidRequestError("body must be whole") from None
    if is_too_large:
        raise TooLargeError("body must have at most 4 MiB")
    return bytes(body)


def limit(query: Mapping[str, str]) -> int:
    """Return how many rows are asked for. Raise InvalidRequestError unless 1 to 500."""
    value = query.get("limit", "100")
    if not (value.isascii() and value.isdigit() and len(value) <= 3):
        value = "0"
    if not 1 <= int(value) <= MOST_LISTED:
        raise InvalidRequestError(f"limit must be between 1 and {MOST_LISTED}")
    return int(value)


def flag(query: Mapping[str, str], name: str) -> bool:
    """Return a flag of a query, false by default. Raise InvalidRequestError."""
    value = query.get(name, "false")
    if value not in ("true", "false"):
        raise InvalidRequestError(f"{name} must be true or false")
    return value == "true"
