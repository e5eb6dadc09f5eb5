"""The HTTP clients of a platform, and their replacements.

Requests and streams have a client each, so that they cannot starve each other. The client
of requests is replaced when its pool is blocked, and when the platform has moved to other
addresses; both are when this host trusts other authorities. A running request, and an open
stream, keep the connection that they have.
"""

import anyio
import httpx

from rensei_daemon.platform_api import exchange_errors, transport
from rensei_daemon.platform_api.proxies import Route
from rensei_daemon.platform_api.readable_sockets import ReadableSockets
from rensei_daemon.platform_api.trust import Tls


class Clients:
    """Sends requests with the client of their kind."""

    def __init__(
        self,
        url: httpx.URL,
        route: Route,
        tls: Tls,
        *,
        user_agent: str,
        call_seconds: float,
        stream_sockets: ReadableSockets,
    ) -> None:
        self.rebuilds = 0
        """How often a blocked pool was replaced."""
        self._route, self._tls = route, tls
        self._connects_to = (route.proxy or url).host
        self._user_agent = user_agent
        self._call_seconds = call_seconds
        self._stream_sockets = stream_sockets
        self._context = tls.context
        self._retired: list[tuple[float, httpx.AsyncClient]] = []
        """Clients that were replaced, and when: their requests may still run."""
        self.requests, self.streams = self._client(), self._client(stream_sockets)

    async def aclose(self) -> None:
        """Close every connection."""
        for client in (self.requests, self.streams, *(old for _, old in self._retired)):
            await client.aclose()

    async def send(
        self, request: httpx.Request, *, of_stream: bool = False
    ) -> httpx.Response:
        """Send a request; raises httpx's errors.

        A certificate that is not trusted is tried again if the authorities have changed.
        """
        context = self._context
        try:
            return await self._send(request, of_stream=of_stream)
        except httpx.ConnectError as error:
            is_untrusted = exchange_errors.is_untrusted(error)
            if not is_untrusted or not await self._tls.is_newer_than(context):
                raise
        await self.renew()
        return await self._send(request, of_stream=of_stream)

    async def renew(self) -> None:
        """Trust the authorities of today from the next connection on."""
        if self._context is self._tls.context:
            return  # another request has done it
        self._context = self._tls.context
        # Its streams close their connections themselves, and it keeps none for others.
        self.streams = self._client(self._stream_sockets)
        await self.replace_requests()

    async def replace_requests(self) -> None:
        """Send further requests on new connections."""
        now = anyio.current_time()
        self._retired.append((now, self.requests))
        self.requests = self._client()
        while now - self._retired[0][0] > self._call_seconds:  # its requests have ended
            _, client = self._retired.pop(0)
            await client.aclose()

    async def _send(self, request: httpx.Request, *, of_stream: bool) -> httpx.Response:
        client = self.streams if of_stream else self.requests
        try:
            return await client.send(request, stream=True)
        except httpx.ConnectTimeout:
            # The time limit for connecting includes the name lookup.
            if await transport.name_server_answers(self._connects_to):
                raise
            raise exchange_errors.NameServerSilentError("") from None
        except httpx.PoolTimeout:
            if client is self.requests:  # else another call has replaced it
                self.requests = self._client()
                self.rebuilds += 1
                await client.aclose()
            raise

    def _client(self, stream_sockets: ReadableSockets | None = None) -> httpx.AsyncClient:
        return transport.client(
            self._route,
            self._context,
            self._tls.refusals,
            user_agent=self._user_agent,
            stream_sockets=stream_sockets,
        )
