"""Closes the connections that requests have opened but httpcore's pool does not know.

The pool knows a connection once it is ready for requests. It does not close one whose
request is cancelled during the TLS handshake, nor one that is still connecting when the
pool is closed: their sockets would stay open until garbage collection.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import anyio
import httpx

_CONNECTED = "connection.connect_tcp.complete"


class OwningTransport(httpx.AsyncBaseTransport):
    """A transport that leaves no connection open after a failed request or `aclose`."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner
        self._is_closed = False
        self._opened: dict[httpx.Request, list[Any]] = {}
        """The streams that each running request has connected."""

    async def aclose(self) -> None:
        """Close every connection; one that is being opened is closed once it is open."""
        self._is_closed = True
        await self._inner.aclose()
        for streams in list(self._opened.values()):
            await _close(streams)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request.

        Raises `PoolTimeout` if this transport was closed meanwhile, and httpx's errors.
        """
        streams = self._opened[request] = []
        traced = request.extensions.get("trace")

        async def note(name: str, info: Mapping[str, Any]) -> None:
            if traced is not None:
                await traced(name, info)
            if name == _CONNECTED:
                streams.append(info["return_value"])
                if self._is_closed:
                    raise anyio.ClosedResourceError

        request.extensions = {**request.extensions, "trace": note}
        try:
            return await self._inner.handle_async_request(request)
        except BaseException as error:
            await _close(streams)
            if isinstance(error, anyio.ClosedResourceError):
                raise httpx.PoolTimeout("closed while it connected") from error
            raise
        finally:
            del self._opened[request]


async def _close(streams: Iterable[Any]) -> None:
    with anyio.CancelScope(shield=True):
        for stream in streams:
            await stream.aclose()
