"""Read one request of a client, check that the client may send it, and answer it.

Whatever a client sends can only make its own request fail.
"""

import json
import os
import socket
from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import structlog

from rensei_daemon.control_api.connection import send
from rensei_daemon.control_api.connection_limit import Client, ConnectionLimit
from rensei_daemon.control_api.request_limits import RequestLimits
from rensei_daemon.control_api.wire import (
    Handler,
    Request,
    Response,
    Routes,
    encode,
    find_route,
    is_own_name,
    refuse,
    refuse_for,
)
from rensei_daemon.errors import RenseiError
from rensei_daemon.failure_reporter import FailureReporter
from rensei_daemon.sockets.peer import Peer

if TYPE_CHECKING:
    import h11

CALM_SECONDS = 60.0

log = structlog.get_logger()

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
_INTERNAL_ERROR = refuse(
    HTTPStatus.INTERNAL_SERVER_ERROR,
    "the daemon could not answer this: internal error",
    hint="please report it, with: rensei-daemon logs -n 50",
)
_MISDIRECTED = refuse(
    HTTPStatus.MISDIRECTED_REQUEST,
    "the request names another host in its Host header",
    hint="use an address, such as 127.0.0.1, or localhost",
)


class RequestServer:
    """Answers the requests of one socket's clients."""

    def __init__(
        self, routes: Routes, limits: RequestLimits, *, check_host: bool = False
    ) -> None:
        """`check_host` refuses what a web page made a browser on this host send."""
        self._routes = routes
        self._limits = limits
        self._check_host = check_host
        self._slots = ConnectionLimit(limits.clients, limits.grace_seconds)
        self._refusals = FailureReporter(calm_seconds=CALM_SECONDS)
        """Clients that may not change anything; a script may try all night."""
        self._internal_errors = FailureReporter(calm_seconds=CALM_SECONDS)
        self._accept_failures = FailureReporter(calm_seconds=CALM_SECONDS)

    def report_accept_failure(self, why: str) -> None:
        """Log that a client's connection could not be accepted."""
        self._accept_failures.report_event("control.starved", why, error=why)

    async def serve(self, connection: socket.socket, peer: Peer) -> None:
        """Read one request and answer it; no error leaves this method."""
        client = Client()
        self._slots.admit(client)
        try:
            response = await self._reply(client, connection, peer)
            # A client that does not read its answer in time loses the rest of it.
            with client.waiting(self._limits.seconds):
                await send(connection, response)
        finally:
            self._slots.release(client)

    async def _reply(self, client: Client, connection: socket.socket, peer: Peer) -> bytes:
        try:
            response = await self._read_and_answer(client, connection, peer)
            return b"" if response is None else encode(response)
        except Exception as error:  # noqa: BLE001 - it is logged with its traceback
            self._internal_errors.report_event(
                "control.failed", repr(error), level="exception"
            )
            return encode(_INTERNAL_ERROR)

    async def _read_and_answer(
        self, client: Client, connection: socket.socket, peer: Peer
    ) -> Response | None:
        """Return the response to a request; None if the client has gone."""
        from rensei_daemon.control_api.request_reader import read_request

        seconds = self._limits.seconds
        late = f"the request did not arrive within {seconds:g} s"
        found: tuple[h11.Request, bytes] | Response | None
        found = refuse(HTTPStatus.REQUEST_TIMEOUT, late)
        has_request = False
        with client.waiting(seconds):
            found = await read_request(connection, self._limits)
            has_request = isinstance(found, tuple)
        if not client.has_slot and not (
            has_request and self._slots.admit(client, has_request=True)
        ):
            return _BUSY
        if found is None or isinstance(found, Response):
            return found
        return await self._answer(peer, *found)

    async def _answer(self, peer: Peer, head: "h11.Request", body: bytes) -> Response:
        method, target = head.method.decode(), head.target.decode()
        if self._check_host and not _names_this_host(head):
            return _MISDIRECTED
        found = find_route(self._routes, method, target)
        if isinstance(found, Response):
            return found
        handler, path, query = found
        if method != "GET":
            verb = f"{method} {target[:200]}"
            if not peer.is_trusted(os.geteuid()):
                text = f"{peer.uid} {verb}"
                self._refusals.report_event(
                    "control.refused", text, verb=verb, uid=peer.uid, pid=peer.pid
                )
                return _READ_ONLY
            log.info("control.requested", verb=verb, uid=peer.uid, pid=peer.pid)
        return await _call(handler, peer, path, query, body)


def _names_this_host(head: "h11.Request") -> bool:
    """Whether the request cannot come from a web page of another site.

    The name of such a site may resolve to any address, also to one of this host, and the
    browser sends that name.
    """
    names = [value.decode("latin-1") for name, value in head.headers if name == b"host"]
    return all(is_own_name(name) for name in names)


async def _call(
    handler: Handler,
    peer: Peer,
    path: Mapping[str, str],
    query: Mapping[str, str],
    body: bytes,
) -> Response:
    try:
        content: Any = json.loads(body) if body else None
    except (ValueError, RecursionError):
        return refuse(HTTPStatus.BAD_REQUEST, "the body is not JSON")
    try:
        result = await handler(Request(peer=peer, path=path, query=query, body=content))
    except RenseiError as error:
        return refuse_for(error)
    return result if isinstance(result, Response) else Response(HTTPStatus.OK, result)
