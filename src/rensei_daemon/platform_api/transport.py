"""Makes connections to the platform: TLS, proxy, socket options."""

import importlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import anyio
import anyio.to_thread
import httpx

from rensei_daemon.core.urls import host_in
from rensei_daemon.platform_api.connection_owner import OwningTransport
from rensei_daemon.platform_api.proxies import Route
from rensei_daemon.platform_api.readable_sockets import ReadableSockets
from rensei_daemon.platform_api.tls_refusal import (
    CertificateRefusals,
    CertificateRetryTransport,
)

USUAL_CONNECTIONS = 32
"""Size of the pool for requests, which never has to wait for one (see `http`)."""

MAX_LOCATION = 2048
"""Characters read of a redirect's target."""

BODY = "rensei_body"
"""The extension of a response that is its body, without the layers of httpx around it."""

CONNECT_SECONDS = 5.0
LOOKUP_SECONDS = 1.0

QUEUE_SECONDS = 2.0
"""How long a request may wait for the pool before the pool is considered blocked."""

_WATCHED: Sequence[tuple[int, int, int]] = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 45_000),
)
"""The kernel detects dead peers of a silent stream after about 45 s; `dead_peer` does so
within 45 s."""


class LateTransport(httpx.AsyncBaseTransport):
    """A transport that is made for its first request.

    httpx imports what it sends with for the first one, which takes 10 ms: in a thread, so
    that no loop waits for it, and after the daemon is ready.
    """

    def __init__(self, make: Callable[[], httpx.AsyncBaseTransport]) -> None:
        self._make = make
        self._made: httpx.AsyncBaseTransport | None = None

    async def aclose(self) -> None:
        """Close every connection."""
        if self._made is not None:
            await self._made.aclose()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; raises httpx's errors."""
        if self._made is None:
            await anyio.to_thread.run_sync(importlib.import_module, "httpcore")
        if self._made is None:  # else another request has made it meanwhile
            self._made = self._make()
        return await self._made.handle_async_request(request)


def _transport(
    route: Route, context: ssl.SSLContext, stream_sockets: ReadableSockets | None
) -> OwningTransport:
    for_streams = stream_sockets is not None
    if stream_sockets is not None and route.proxy is None:
        own = partial(_stream_transport, context, stream_sockets)
        return OwningTransport(LateTransport(own))
    # Common servers close an idle connection after 5 s; a request at that moment would
    # fail. Connections of streams are never reused.
    limits = (
        httpx.Limits(max_connections=None, max_keepalive_connections=0)
        if for_streams
        else httpx.Limits(max_connections=USUAL_CONNECTIONS, keepalive_expiry=4.0)
    )
    make = partial(
        httpx.AsyncHTTPTransport,
        verify=context,
        limits=limits,
        proxy=httpx.Proxy(route.proxy) if route.proxy else None,
        trust_env=False,
        socket_options=_WATCHED if for_streams else None,
    )
    return OwningTransport(LateTransport(make))


def _stream_transport(
    context: ssl.SSLContext, readable: ReadableSockets
) -> httpx.AsyncBaseTransport:
    # With httpcore, which is imported late, too.
    module = importlib.import_module("rensei_daemon.platform_api.stream_transport")
    made: httpx.AsyncBaseTransport = module.StreamTransport(context, _WATCHED, readable)
    return made


def client(
    route: Route,
    context: ssl.SSLContext,
    refusals: CertificateRefusals,
    *,
    user_agent: str,
    stream_sockets: ReadableSockets | None = None,
) -> httpx.AsyncClient:
    """Make a client for the platform, which keeps no cookies and follows no redirects.

    One for streams has `stream_sockets`.
    """
    make = partial(_transport, route, context, stream_sockets)
    return httpx.AsyncClient(
        transport=CertificateRetryTransport(
            make, refusals, is_proxied=route.proxy is not None
        ),
        timeout=httpx.Timeout(
            connect=CONNECT_SECONDS,
            read=10.0 if stream_sockets is None else None,
            write=10.0,
            pool=QUEUE_SECONDS,
        ),
        headers={"User-Agent": user_agent},
        cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=[])),
        follow_redirects=False,
        event_hooks={"request": [_trace], "response": [_note_target]},
        trust_env=False,  # otherwise a .netrc would add credentials
    )


async def name_server_answers(host: str) -> bool:
    """Whether a name lookup ends, with any result."""
    with anyio.move_on_after(LOOKUP_SECONDS) as lookup, suppress(OSError):
        await anyio.getaddrinfo(host, None)
    return not lookup.cancelled_caught


def connection_of(response: httpx.Response) -> socket.socket | None:
    """Return the socket of a response, through TLS and proxies; None if not found."""
    stream = response.extensions.get("network_stream")
    found: socket.socket | None = stream and stream.get_extra_info("socket")
    return found


def body_of(response: httpx.Response) -> AsyncIterator[bytes]:
    """Iterate over the body as it arrives, whichever transport it comes from."""
    return aiter(response.extensions.get(BODY) or response.aiter_raw())


async def _trace(request: httpx.Request) -> None:
    request.extensions["trace"] = _bracket_target


async def _bracket_target(name: str, info: Mapping[str, Any]) -> None:
    """Put brackets around the IPv6 address in a CONNECT request, which httpcore omits.

    Called right before the head of each request is sent.
    """
    if name != "http11.send_request_headers.started":
        return
    request = info["request"]
    if request.method != b"CONNECT":
        return
    host, _, port = request.url.target.rpartition(b":")
    if b":" in host and not host.startswith(b"["):
        target = b"[%b]:%b" % (host, port)
        request.url.target = target
        request.headers = [
            (key, target if key.lower() == b"host" else value)
            for key, value in request.headers
        ]


async def _note_target(response: httpx.Response) -> None:
    """Remove the target of a redirect, and keep its host for the error message.

    httpx parses the header even if it does not follow redirects, and fails on bad ones.
    """
    location = response.headers.pop("location", "")
    response.extensions["redirects_to"] = host_in(location[:MAX_LOCATION])
