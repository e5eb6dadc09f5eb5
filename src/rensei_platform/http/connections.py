"""Connections of uvicorn that an answer can take over, and that do not wait for ever."""

import asyncio
from dataclasses import dataclass
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

CONNECTION = "rensei_platform.connection"
"""The key of the connection in the scope of a request."""


MOST_PIPELINED = 8
"""Requests behind one that is being answered; each costs more memory than it has bytes."""
MOST_HEAD_BYTES = 64 * 1024
"""Of the head of a request; one that is larger is refused."""


def _last_answer(status: bytes, error: bytes) -> bytes:
    """Return an answer to what no application gets to see; the connection ends with it."""
    body = b'{"error":"%b"}' % error
    return (
        b"HTTP/1.1 %b\r\ncontent-type: application/json\r\n"
        b"connection: close\r\ncontent-length: %d\r\n\r\n%b" % (status, len(body), body)
    )


_TOO_SLOW = _last_answer(b"408 Request Timeout", b"The request took too long to arrive")
_TOO_LARGE = _last_answer(
    b"431 Request Header Fields Too Large", b"The head of the request is too large"
)
_NO_HTTP = _last_answer(b"400 Bad Request", b"The request is not HTTP")


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """For how many seconds a connection waits for its client."""

    head: float = 10.0
    """For the first byte of a request to the end of its head."""
    request: float = 60.0
    """For all of a request, its body included."""
    answer: float = 60.0
    """For a client to read on, or to close a connection that has ended."""


class Connection(HttpToolsProtocol):
    """A connection that names itself to its requests."""

    _awaited_since: float | None = None
    """When it began to wait for the request that is not there yet."""
    _has_head = False
    _head_bytes = 0
    """Of the URL and the headers that were read."""
    _unread_bytes = 0
    """Of the packets that have brought no whole head yet: a header may have no end."""
    _stuck_since: float | None = None
    """Since when the client has not read what is written to it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        super().connection_made(transport)
        self._awaited_since = self.loop.time()

    def data_received(self, data: bytes) -> None:
        """Wait for the rest of a request that begins now."""
        if self._awaited_since is None and self._is_idle():
            self._awaited_since = self.loop.time()
        super().data_received(data)
        if self._awaited_since is not None and not self._has_head:
            self._unread_bytes += len(data)
            if self._unread_bytes > MOST_HEAD_BYTES and not self.transport.is_closing():
                self._refuse(_TOO_LARGE)

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        cast("dict[str, Any]", self.scope)[CONNECTION] = self
        self._has_head, self._head_bytes, self._unread_bytes = False, 0, 0
        if len(self.pipeline) >= MOST_PIPELINED:
            self.transport.abort()
            raise ValueError  # so that nothing more of the packet is read
        if self._awaited_since is None:  # behind another in the same packet
            self._awaited_since = self.loop.time()

    def on_url(self, url: bytes) -> None:
        """Read a part of the URL, unless there is too much of it."""
        self._count(len(url))
        super().on_url(url)

    def _count(self, of_head: int) -> None:
        self._head_bytes += of_head
        if self._head_bytes > MOST_HEAD_BYTES:
            raise ValueError  # `send_400_response` says why

    def on_header(self, name: bytes, value: bytes) -> None:
        """Read a header, unless there are too many."""
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Have the head answered, while the body is still on its way."""
        self._has_head = True
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Wait for nothing more: the request is there."""
        self._awaited_since = None
        super().on_message_complete()

    def _unsupported_upgrade_warning(self) -> None:
        """Log nothing: it is answered as usual, and uvicorn's advice is for developers."""

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's signature
        """Answer what is no request of HTTP like everything else."""
        is_large = self._head_bytes > MOST_HEAD_BYTES
        self._refuse(_TOO_LARGE if is_large else _NO_HTTP)

    def _refuse(self, answer: bytes) -> None:
        self.transport.write(answer)
        self.transport.close()

    def pause_writing(self) -> None:
        """Note that the client does not read."""
        self._stuck_since = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        """Note that it reads on."""
        self._stuck_since = None
        super().resume_writing()

    def _is_idle(self) -> bool:
        """Whether no request of it is being answered."""
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is None or cycle.response_complete

    def check(self, patience: Patience) -> None:
        """Close the connection if its client has had enough time."""
        now = self.loop.time()
        if self.transport.is_closing() and self._stuck_since is None:
            self._stuck_since = now  # what was written may never be read
        if self._stuck_since is not None and now - self._stuck_since >= patience.answer:
            self.transport.abort()
            return
        limit = patience.request if self._has_head else patience.head
        if self._awaited_since is None or now - self._awaited_since < limit:
            return
        if self._is_idle():
            self.transport.write(_TOO_SLOW)
        self.transport.close()

    def hand_over(self, successor: asyncio.Protocol) -> None:
        """Leave the connection to another protocol, as for a WebSocket.

        The server forgets it: to the request that has it the client seems to be gone. When
        it is gone indeed, nothing is done.
        """
        self.cycle.disconnected = True
        if self.transport.is_closing():
            return
        self.connections.discard(self)
        self.transport.set_protocol(successor)
        successor.connection_made(self.transport)
