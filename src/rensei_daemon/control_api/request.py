"""One client's request and the answer to it, over whatever connection it came by.

It owns what such a peer may do. What a request means is the routes' business; who is at
the other end, the listener's. A client can make its own conversation fail, and nothing
else.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Any

import h11
import structlog

from rensei_daemon.control_api.connection import Connection
from rensei_daemon.control_api.connection_limit import Client, ConnectionLimit
from rensei_daemon.control_api.request_reader import (
    DEFAULT_LIMITS,
    RequestLimits,
    read_request,
)
from rensei_daemon.control_api.wire import (
    Peer,
    Request,
    Response,
    Route,
    Routes,
    encode,
    find_route,
    is_own_name,
    refuse,
    refuse_for,
)
from rensei_daemon.errors import RenseiError
from rensei_daemon.failure_reporter import FailureReporter

CALM_SECONDS = 60.0

log = structlog.get_logger()

_reporter = partial(FailureReporter, calm_seconds=CALM_SECONDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """What a listener lets through."""

    routes: Routes
    limits: RequestLimits = DEFAULT_LIMITS
    is_open_to_browsers: bool = False
    """Whether any web page of this host's could reach it: then it must be meant."""
    refusals: FailureReporter = field(default_factory=_reporter)
    """Of clients that may not write; a script may try all night."""
    internal_errors: FailureReporter = field(default_factory=_reporter)
    shortages: FailureReporter = field(default_factory=_reporter)
    """Of descriptors."""

    def log_shortage(self) -> None:
        """Log that a client cannot be let in, for want of a descriptor."""
        self.shortages.report_event("control.starved")


_BUSY = refuse(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "too many clients at once",
    hint="try again in a moment",
)
_READ_ONLY = refuse(
    HTTPStatus.FORBIDDEN,
    "only root and the daemon's user may change anything",
    hint="run it with sudo",
)
_MISTAKE = refuse(
    HTTPStatus.INTERNAL_SERVER_ERROR,
    "the daemon could not answer this: internal error",
    hint="please report it, with: rensei-daemon logs -n 50",
)
_MISDIRECTED = refuse(
    HTTPStatus.MISDIRECTED_REQUEST,
    "the request names a host that this is not",
    hint="ask by address, like 127.0.0.1, or as localhost",
)


async def serve_client(
    connection: Connection,
    peer: Peer,
    listener: Listener,
    connection_limit: ConnectionLimit,
) -> None:
    """Take one request and answer it; the connection is over then.

    Whatever goes wrong here, ours or the client's mistake, is this client's trouble.
    """
    client = Client()
    connection_limit.admit(client)
    try:
        raw = await _reply(connection, peer, listener, client, connection_limit)
        # Who leaves, or does not read, loses its answer; that is all.
        with client.waiting(listener.limits.seconds):
            await connection.send(raw)
    finally:
        connection_limit.release(client)


async def _reply(
    connection: Connection,
    peer: Peer,
    listener: Listener,
    client: Client,
    connection_limit: ConnectionLimit,
) -> bytes:
    try:
        answer = await _hear_out(connection, peer, listener, client, connection_limit)
        return b"" if answer is None else encode(answer)
    except Exception as error:  # noqa: BLE001 - it is logged with its traceback
        listener.internal_errors.report_event(
            "control.failed", repr(error), level="exception"
        )
        return encode(_MISTAKE)


async def _hear_out(
    connection: Connection,
    peer: Peer,
    listener: Listener,
    client: Client,
    connection_limit: ConnectionLimit,
) -> Response | None:
    """Return the answer to what the client asks; None when it has gone."""
    seconds = listener.limits.seconds
    late = f"the request did not arrive within {seconds:g} s"
    heard: tuple[h11.Request, bytes] | Response | None
    heard = refuse(HTTPStatus.REQUEST_TIMEOUT, late)
    is_whole = False
    with client.waiting(seconds):
        heard = await read_request(connection, listener.limits)
        is_whole = isinstance(heard, tuple)
    if not client.has_slot and not (
        is_whole and connection_limit.admit(client, has_spoken=True)
    ):
        return _BUSY
    if heard is None or isinstance(heard, Response):
        return heard
    return await _answer(peer, *heard, listener)


async def _answer(
    peer: Peer, head: h11.Request, body: bytes, listener: Listener
) -> Response:
    method, target = head.method.decode(), head.target.decode()
    if listener.is_open_to_browsers and not _is_meant(head):
        return _MISDIRECTED
    found = find_route(listener.routes, method, target)
    if isinstance(found, Response):
        return found
    route, path, query = found
    if route.writes:
        verb = f"{method} {target[:200]}"
        if not peer.may_write(os.geteuid()):
            listener.refusals.report_event(
                "control.refused",
                f"{peer.uid} {verb}",
                verb=verb,
                uid=peer.uid,
                pid=peer.pid,
            )
            return _READ_ONLY
        log.info("control.requested", verb=verb, uid=peer.uid, pid=peer.pid)
    return await _call(route, peer, path, query, body)


def _is_meant(head: h11.Request) -> bool:
    """Whether a page of another site could not have made a browser send this.

    Such a page has a name, which it may make point at any address, ours too, and the
    browser tells that name.
    """
    named = [value.decode("latin-1") for name, value in head.headers if name == b"host"]
    return all(is_own_name(host) for host in named)


async def _call(
    route: Route, peer: Peer, path: Mapping[str, str], query: Mapping[str, str], body: bytes
) -> Response:
    try:
        content: Any = json.loads(body) if body else None
    except (ValueError, RecursionError):
        return refuse(HTTPStatus.BAD_REQUEST, "the body is not JSON")
    try:
        result = await route.handler(
            Request(peer=peer, path=path, query=query, body=content)
        )
    except RenseiError as error:
        return refuse_for(error)
    return result if isinstance(result, Response) else Response(HTTPStatus.OK, result)
