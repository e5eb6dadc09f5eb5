"""What is said over the control socket: requests, answers, and who may say what.

Values and rules only; no bytes arrive or leave here. The routes themselves are handed
in by whoever assembles the daemon. An answer is JSON, or plain text where a handler says
so; one that refuses is
`{"error": what, "hint": what to do, "exit_code": what a shell should see}`.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from rensei_daemon.core.urls import is_address
from rensei_daemon.errors import (
    ControlError,
    MutationError,
    NotPermittedError,
    PlatformError,
    RenseiError,
    SettingsError,
    StateInUseError,
    TransientError,
    UsageError,
)
from rensei_daemon.sockets.peer import Peer


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a handler is given."""

    peer: Peer
    path: Mapping[str, str] = field(default_factory=dict)
    """What stands where the route says `{name}`."""
    query: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    """Decoded JSON; None when there was none."""


@dataclass(frozen=True, slots=True)
class Route:
    """One verb of the daemon."""

    handler: Callable[[Request], Awaitable[Any]]
    """Returns a JSON value, a `Text` or a `Response`; a RenseiError becomes a refusal."""
    writes: bool = False
    """Whether only root and the daemon's user may use it."""


Routes = Mapping[tuple[str, str], Route]
"""By (method, path); a segment of the path may be a parameter: `/v1/mutations/{id}`."""


@dataclass(frozen=True, slots=True)
class Text:
    """An answer that is not JSON."""

    content: str
    media_type: str = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Response:
    """A status and what JSON can spell, or a `Text`."""

    status: int
    body: Any
    allow: tuple[str, ...] = ()
    """The methods that would have worked, with a 405."""


def refuse(
    status: HTTPStatus, message: str, *, hint: str = "", allow: tuple[str, ...] = ()
) -> Response:
    """Answer no to a request that never reached a handler."""
    code = {
        HTTPStatus.FORBIDDEN: NotPermittedError.exit_code,
        HTTPStatus.SERVICE_UNAVAILABLE: ControlError.exit_code,
    }.get(status, UsageError.exit_code)
    return Response(status, {"error": message, "hint": hint, "exit_code": code}, allow)


_STATUSES: tuple[tuple[type[RenseiError], HTTPStatus], ...] = (
    (UsageError, HTTPStatus.BAD_REQUEST),
    (NotPermittedError, HTTPStatus.FORBIDDEN),
    (SettingsError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (MutationError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (StateInUseError, HTTPStatus.CONFLICT),
    (TransientError, HTTPStatus.GATEWAY_TIMEOUT),
    (PlatformError, HTTPStatus.BAD_GATEWAY),
)


def refuse_for(error: RenseiError) -> Response:
    """Answer no in a handler's own words."""
    kinds = (status for kind, status in _STATUSES if isinstance(error, kind))
    return Response(
        next(kinds, HTTPStatus.INTERNAL_SERVER_ERROR),
        {"error": str(error), "hint": error.hint, "exit_code": error.exit_code},
    )


def find_route(
    routes: Routes, method: str, target: str
) -> tuple[Route, Mapping[str, str], Mapping[str, str]] | Response:
    """Find (route, path parameters, query) for a request's first line, or refuse.

    A route spelt out wins over one with parameters.
    """
    try:
        url = urlsplit(target)
    except ValueError:
        return refuse(HTTPStatus.BAD_REQUEST, "the request asks for no path")
    segments = [unquote(segment) for segment in url.path.split("/")]
    matches = {
        (known, path): parameters
        for known, path in sorted(routes, key=lambda route: route[1].count("{"))
        if (parameters := _match(path.split("/"), segments)) is not None
    }
    for (known, path), parameters in matches.items():
        if known == method:
            query = dict(parse_qsl(url.query, keep_blank_values=True))
            return routes[known, path], parameters, query
    if matches:
        allow = tuple(sorted({known for known, _ in matches}))
        return refuse(
            HTTPStatus.METHOD_NOT_ALLOWED,
            f"{url.path} does not take {method}",
            hint=f"it takes {', '.join(allow)}",
            allow=allow,
        )
    return refuse(
        HTTPStatus.NOT_FOUND,
        f"there is no {url.path}",
        hint="command and daemon may be of different versions: restart the daemon",
    )


def is_own_name(host: str) -> bool:
    """Whether a `Host` header calls this host by an address, or localhost.

    Any other name may be another site's, made to point here.
    """
    try:
        named = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    return named == "localhost" or is_address(named)


def _match(pattern: list[str], segments: list[str]) -> dict[str, str] | None:
    if len(pattern) != len(segments):
        return None
    parameters = {}
    for expected, given in zip(pattern, segments, strict=True):
        if expected.startswith("{") and given:
            parameters[expected.strip("{}")] = given
        elif expected != given:
            return None
    return parameters


def encode(answer: Response) -> bytes:
    """Spell an answer as the last one on its connection."""
    if isinstance(answer.body, Text):
        text, media_type = answer.body.content, answer.body.media_type
    else:
        text = json.dumps(answer.body, separators=(",", ":"))
        media_type = "application/json"
    body = text.encode(errors="replace")
    head = [
        f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}",
        f"Content-Type: {media_type}",
        f"Content-Length: {len(body)}",
        "Connection: close",
    ]
    if answer.allow:
        head.append(f"Allow: {', '.join(answer.allow)}")
    return "\r\n".join([*head, "", ""]).encode() + body
