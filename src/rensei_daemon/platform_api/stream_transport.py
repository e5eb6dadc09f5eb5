"""Sends the requests of streams straight to the platform, and reads their bodies.

httpcore connects, sends and parses the head of the response. A body in chunks, as streams
have, is then read from the connection itself: for each event, the layers of httpx and
httpcore would take several times what everything else does.
"""

import ssl
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager

import httpcore
import httpx

from rensei_daemon.core.chunked_body import ChunkedBody
from rensei_daemon.platform_api.readable_sockets import ReadableSockets
from rensei_daemon.platform_api.socket_stream import SocketBackend, SocketStream
from rensei_daemon.platform_api.transport import BODY

_CUT_OFF = (
    "peer closed connection without sending complete message body (incomplete chunked read)"
)
"""The words of h11, which reads other bodies."""


class StreamTransport(httpx.AsyncBaseTransport):
    """A transport without a proxy, each of whose connections serves one request."""

    def __init__(
        self,
        context: ssl.SSLContext,
        socket_options: Iterable[tuple[int, int, int]],
        readable: ReadableSockets,
    ) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=context,
            max_connections=None,
            max_keepalive_connections=0,
            network_backend=SocketBackend(readable),
            socket_options=socket_options,
        )

    async def aclose(self) -> None:
        """Close every connection."""
        await self._pool.aclose()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; raises httpx's errors."""
        url = request.url
        with _errors_of_httpx():
            answer = await self._pool.handle_async_request(
                httpcore.Request(
                    request.method,
                    httpcore.URL(
                        scheme=url.raw_scheme,
                        host=url.raw_host,
                        port=url.port,
                        target=url.raw_path,
                    ),
                    headers=request.headers.raw,
                    content=request.stream,
                    extensions=request.extensions,
                )
            )
        headers = httpx.Headers(answer.headers)
        body = _body(answer, headers)
        return httpx.Response(
            answer.status,
            headers=headers,
            stream=body,
            extensions={**answer.extensions, BODY: body},
        )


def _body(answer: httpcore.Response, headers: httpx.Headers) -> "_Body":
    connection = answer.extensions.get("network_stream")
    if not isinstance(connection, SocketStream):  # it has become another protocol
        return _Body(answer)
    connection.end_head()
    is_in_chunks = answer.status == 200 and "transfer-encoding" in headers
    return _ChunkedBody(answer, connection) if is_in_chunks else _Body(answer)


class _Body(httpx.AsyncByteStream):
    """A body as httpcore reads it."""

    def __init__(self, answer: httpcore.Response) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _errors_of_httpx():
            async for piece in self._answer.aiter_stream():
                yield piece

    async def aclose(self) -> None:
        await self._answer.aclose()


class _ChunkedBody(_Body):
    """A body in chunks, read from its connection."""

    def __init__(self, answer: httpcore.Response, connection: SocketStream) -> None:
        super().__init__(answer)
        self._connection = connection

    async def __aiter__(self) -> AsyncIterator[bytes]:
        body = ChunkedBody()
        with _errors_of_httpx():
            while not body.is_complete:
                data = await self._connection.receive()
                if not data:
                    raise httpx.RemoteProtocolError(_CUT_OFF)
                try:
                    for piece in body.feed(data):
                        yield piece
                except ValueError as error:
                    raise httpx.RemoteProtocolError(str(error)) from None


@contextmanager
def _errors_of_httpx() -> Iterator[None]:
    """Translate httpcore's errors, which have the names of httpx's."""
    try:
        yield
    except (
        httpcore.NetworkError,
        httpcore.ProtocolError,
        httpcore.TimeoutException,
        httpcore.UnsupportedProtocol,
    ) as error:
        raise getattr(httpx, type(error).__name__)(str(error)) from error
