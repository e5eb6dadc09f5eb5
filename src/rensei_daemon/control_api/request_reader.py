"""Read a request, up to the limits of its size.

It is imported for the first request: no daemon waits for h11 before it is ready.
"""

import socket
from http import HTTPStatus

import h11

from rensei_daemon.control_api.connection import receive
from rensei_daemon.control_api.request_limits import RequestLimits
from rensei_daemon.control_api.wire import Response, refuse

_GARBAGE = refuse(HTTPStatus.BAD_REQUEST, "this is not an HTTP/1.1 request")
_TOO_LARGE = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
_HEADERS = refuse(_TOO_LARGE, "the headers are too large")
_BODY = refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the request is too large")


async def read_request(
    connection: socket.socket, limits: RequestLimits
) -> tuple[h11.Request, bytes] | Response | None:
    """Return one request; a refusal if it is not valid, None if the client has gone."""
    parser = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.header_bytes)
    head: h11.Request | None = None
    body = bytearray()
    left = limits.request_bytes
    while True:
        event = _next_event(parser, limits)
        if event is h11.NEED_DATA:
            data = await receive(connection, 4096)
            left -= len(data)
            if left < 0:
                return _BODY
            parser.receive_data(data)
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            return head, bytes(body)
        else:
            return event if isinstance(event, Response) else None


def _next_event(parser: h11.Connection, limits: RequestLimits) -> object:
    try:
        event = parser.next_event()
    except h11.RemoteProtocolError as error:
        return _HEADERS if error.error_status_hint == _TOO_LARGE else _GARBAGE
    if isinstance(event, h11.Request):
        # The parser's own limit lets through what arrives complete in one read.
        size = sum(len(name) + len(value) for name, value in event.headers)
        return _HEADERS if size > limits.header_bytes else event
    return event
