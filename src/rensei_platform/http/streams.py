"""A rotate stream as an HTTP answer.

Its head is sent as that of every answer. Then the connection is taken over, as for a
WebSocket, and what is left of the request goes: a stream is one small object that the hub
writes to. No task waits for it, and none is woken when something is sent.
"""

import asyncio
import sys
from typing import TYPE_CHECKING, cast

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from rensei_platform.bus.hub import Hub
from rensei_platform.http.connections import CONNECTION, Connection
from rensei_platform.services.streams import Admission

if TYPE_CHECKING:
    from rensei_platform.bus.hub import Stream

HELLO = b": hello\n\n"
KEEPALIVE = b": keepalive\n\n"
MOST_WAITING_BYTES = 256 * 1024
"""Of one stream, not counting the last frame; a reader with more to read is dropped."""
_LAST_CHUNK = b"0\r\n\r\n"
_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"transfer-encoding", b"chunked"),
    (b"x-accel-buffering", b"no"),  # nginx keeps events back without it
]


class EventStream(asyncio.Protocol):
    """An open stream, in chunks of HTTP/1.1. What the client sends is ignored."""

    __slots__ = (
        "_hub",
        "_transport",
        "_was_behind",
        "host_id",
        "key_id",
        "org_id",
        "session_id",
        "version",
    )

    def __init__(
        self, hub: Hub, org_id: str, key_id: str, session_id: str, admission: Admission
    ) -> None:
        self._hub, self.version = hub, admission.version
        self.org_id, self.key_id = sys.intern(org_id), sys.intern(key_id)
        self.session_id = session_id if admission.is_of_session else ""
        self.host_id = admission.host_id
        self._was_behind = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Write to this connection from now on."""
        self._transport = cast("asyncio.Transport", transport)
        self._hub.open(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Either side has closed the connection."""
        self._hub.close(self)

    def push(self, frame: bytes) -> bool:
        """Send a frame; False if the stream has ended, or its reader is too slow."""
        if self._transport.is_closing():
            return False
        if self._transport.get_write_buffer_size() > MOST_WAITING_BYTES:
            self.abort()
            return False
        self._transport.write(b"%x\r\n%b\r\n" % (len(frame), frame))
        return True

    def keep_alive(self) -> None:
        """Send a keepalive; drop a reader that has not caught up since the last one."""
        is_behind = self._transport.get_write_buffer_size() > 0
        if is_behind and self._was_behind:
            self.abort()
        self._was_behind = is_behind
        self.push(KEEPALIVE)

    def end(self) -> None:
        """Send nothing more, and close the connection."""
        if not self._transport.is_closing():
            self._transport.write(_LAST_CHUNK)
            self._transport.close()

    def abort(self) -> None:
        """Close the connection, whatever is still to be sent."""
        self._transport.abort()


class StreamResponse(Response):
    """The answer that opens a stream."""

    def __init__(self, stream: EventStream, first: bytes = b"") -> None:
        """`first` is the first event, if there is one already."""
        super().__init__()
        self._stream, self._first = stream, first

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        """Send the head, and leave the connection to the stream."""
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        is_head = scope["method"] == "HEAD"
        await send(_body(HELLO + self._first, more=not is_head))
        if not is_head:
            connection: Connection = scope[CONNECTION]
            connection.hand_over(self._stream)


def _body(content: bytes, *, more: bool) -> Message:
    return {"type": "http.response.body", "body": content, "more_body": more}


if TYPE_CHECKING:

    def _is_stream(stream: EventStream) -> Stream:
        return stream
