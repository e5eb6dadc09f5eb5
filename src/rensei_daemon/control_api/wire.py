"""Requests, responses and routes of the control API, as values.

A response is JSON, or text if its handler returns a `Text`. A refusal is
`{"error": what happened, "hint": what to do, "exit_code": the exit code of the command}`.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

from rensei_daemon.control_api.schema import Endpoint
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
from rensei_daemon.fast_dataclass import dataclass, field
from rensei_daemon.sockets.peer import Peer


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a handler gets."""

    peer: Peer
    path: Mapping[str, str] = field(default_factory=dict)
    """The parameters of the path, by name."""
    query: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    """Decoded JSON; None if there is none."""


@dataclass(frozen=True, slots=True)
class Text:
    """An answer that is not JSON."""

    content: str
    media_type: str = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Response:
    """A status, and a JSON value or a `Text`."""

    status: int
    body: Any
    allow: tuple[str, ...] = ()
    """The methods of the path, with a 405."""


Handler = Callable[[Request], Awaitable[Any]]
"""Returns a JSON value, a `Text` or a `Response`; a `RenseiError` becomes a refusal."""

Routes = Mapping[tuple[str, str], Handler]
"""The handler of each `Endpoint`."""

_T = TypeVar("_T")


def route(
    endpoint: Endpoint[_T], handler: Callable[[Request], Awaitable[_T | Text | Response]]
) -> tuple[Endpoint[_T], Handler]:
    """Return an item of `Routes` whose handler answers what the endpoint promises."""
    return endpoint, handler


def refuse(
    status: HTTPStatus, message: str, *, hint: str = "", allow: tuple[str, ...] = ()
) -> Response:
    """Refuse a request that no handler gets."""
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
    """Return the refusal of a handler that raised an error."""
    kinds = (status for kind, status in _STATUSES if isinstance(error, kind))
    return Response(
        next(kinds, HTTPStatus.INTERNAL_SERVER_ERROR),
        {"error": str(error), "hint": error.hint, "exit_code": error.exit_code},
    )


def find_route(
    routes: Routes, method: str, target: str
) -> tuple[Handler, Mapping[str, str], Mapping[str, str]] | Response:
    """Return (handler, path parameters, query) of a request's first line, or a refusal.

    A path without parameters is preferred to one with them.
    """
    try:
        url = urlsplit(target)
    except ValueError:
        return refuse(HTTPStatus.BAD_REQUEST, "the request has no path")
    segments = [unquote(segment) for segment in url.path.split("/")]
    allow = set[str]()
    for known, path in sorted(routes, key=lambda route: route[1].count("{")):
        parameters = _match(path.split("/"), segments)
        if parameters is not None and known == method:
            query = dict(parse_qsl(url.query, keep_blank_values=True))
            return routes[known, path], parameters, query
        if parameters is not None:
            allow.add(known)
    return _no_route(method, url.path, tuple(sorted(allow)))


def _no_route(method: str, path: str, allow: tuple[str, ...]) -> Response:
    if not allow:
        hint = "command and daemon may be of different versions: restart the daemon"
        return refuse(HTTPStatus.NOT_FOUND, f"there is no {path}", hint=hint)
    return refuse(
        HTTPStatus.METHOD_NOT_ALLOWED,
        f"{path} does not take {method}",
        hint=f"it takes {', '.join(allow)}",
        allow=allow,
    )


def is_own_name(host: str) -> bool:
    """Whether a `Host` header has an address or `localhost`.

    Any other name may be the name of another site that resolves to this host.
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


def encode(response: Response) -> bytes:
    """Return the bytes of a response, the only one on its connection."""
    if isinstance(response.body, Text):
        text, media_type = response.body.content, response.body.media_type
    else:
        text = json.dumps(response.body, separators=(",", ":"))
        media_type = "application/json"
    body = text.encode(errors="replace")
    head = [
        f"HTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}",
        f"Content-Type: {media_type}",
        f"Content-Length: {len(body)}",
        "Connection: close",
    ]
    if response.allow:
        head.append(f"Allow: {', '.join(response.allow)}")
    return "\r\n".join([*head, "", ""]).encode() + body
