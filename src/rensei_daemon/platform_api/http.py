"""Sends requests to the platform and opens streams; every failure is one of our errors.

This module knows no endpoint. Its rules:

- Requests wait in our own limiter, never in httpx's pool: a request that is cancelled
  while it waits for the pool can block a connection of the pool for ever. If the pool is
  full nevertheless, its client is closed and replaced (see `clients`).
- Redirects are never followed, so the bearer is sent to no other host.
- Errors are raised without their cause: causes quote requests.
"""

import json
import logging
import os
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import httpx

from rensei_daemon.core.urls import is_loopback_host
from rensei_daemon.errors import SettingsError, TransientError, UnauthorizedError
from rensei_daemon.fast_dataclass import replace
from rensei_daemon.long_work import run_by_size
from rensei_daemon.platform_api import exchange_errors, responses
from rensei_daemon.platform_api.clients import Clients
from rensei_daemon.platform_api.dead_peer import DeadPeerDetector
from rensei_daemon.platform_api.moved_peer import MovedPeerDetector
from rensei_daemon.platform_api.proxies import Route, route_to
from rensei_daemon.platform_api.readable_sockets import ReadableSockets
from rensei_daemon.platform_api.response_body import read_body
from rensei_daemon.platform_api.responses import (
    PlatformResponse,
    RawResponse,
    Scrub,
    unscrubbed,
)
from rensei_daemon.platform_api.trust import Tls

Query = Mapping[str, str | list[str]]
"""A list repeats its name."""

CONCURRENT_REQUESTS = 8
CALL_SECONDS = 20.0
"""The longest time of a call, including its wait in our limiter."""
NETWORK_ERRORS = (httpx.HTTPError, httpx.StreamError, OSError, TimeoutError)


def utc_now() -> datetime:
    """Return the wall time of this host."""
    return datetime.now(UTC)


@asynccontextmanager
async def open_http(
    url: str,
    *,
    user_agent: str,
    ca_file: Path | None = None,
    client_files: tuple[Path, Path] | None = None,
    call_seconds: float = CALL_SECONDS,
    now: Callable[[], datetime] = utc_now,
    scrub: Scrub = unscrubbed,
    dead_peers: DeadPeerDetector | None = None,
    environ: Mapping[str, str] = os.environ,
) -> AsyncIterator["Http"]:
    """Prepare requests to the platform at this URL; close every connection at the end.

    `scrub` removes known secrets from the platform's error messages; `environ` names the
    proxy. No connection is made yet. Raises `SettingsError` when the URL, the proxy or one
    of the files cannot be used.
    """
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)  # they log URLs and headers
    try:
        target = httpx.URL(url.rstrip("/"))
    except httpx.InvalidURL:  # it knows more rules than the settings
        raise SettingsError("platform.url is not a URL that can be reached") from None
    tls = await anyio.to_thread.run_sync(Tls, target, ca_file, client_files)
    http = Http(
        target,
        route_to(target, environ),
        tls,
        user_agent=user_agent,
        call_seconds=call_seconds,
        now=now,
        scrub=scrub,
        dead_peers=dead_peers or DeadPeerDetector(),
    )
    try:
        yield http
    finally:
        await http.aclose()


class Http:
    """Sends requests and opens streams; safe to share between tasks."""

    def __init__(
        self,
        url: httpx.URL,
        route: Route,
        tls: Tls,
        *,
        user_agent: str,
        call_seconds: float,
        now: Callable[[], datetime],
        scrub: Scrub,
        dead_peers: DeadPeerDetector,
    ) -> None:
        self.dead_peers = dead_peers
        """Ends streams whose peer is dead, while its `run` runs."""
        self.stream_sockets = ReadableSockets()
        """Reads open streams with less effort while its `run` runs."""
        self._clients = Clients(
            url,
            route,
            tls,
            user_agent=user_agent,
            call_seconds=call_seconds,
            stream_sockets=self.stream_sockets,
        )
        self.moved_peers = MovedPeerDetector(
            (route.proxy or url).host, dead_peers, self._clients.replace_requests
        )
        """Ends streams to former addresses of the platform, while its `run` runs."""
        self.host = url.netloc.decode()
        self.is_loopback = is_loopback_host(url.host)
        self.now = now
        self._url = url
        self._call_seconds = call_seconds
        self._queue = anyio.CapacityLimiter(CONCURRENT_REQUESTS)
        self._tls = tls
        self.reread_certificate = tls.refusals.reread
        """Loads the client certificate again, and returns whether it has changed."""
        self._scrub = scrub

    async def aclose(self) -> None:
        """Close every connection."""
        await self._clients.aclose()

    async def reread_authorities(self) -> bool:
        """Read whom this host trusts again, and return whether that has changed.

        Raises `SettingsError` when a file cannot be used; the old ones stay in use.
        """
        has_changed = await self._tls.reread()
        await self._clients.renew()
        return has_changed

    async def call(
        self,
        method: str,
        path: str,
        *,
        bearer: str = "",
        body: object = None,
        query: Query | None = None,
        idempotency_key: str = "",
        secrets: tuple[str, ...] = (),
    ) -> PlatformResponse:
        """Send a request and return the JSON of a 2xx response.

        `body` is sent as JSON unless it is None. Requests with the same idempotency key
        are one request to a platform that knows such keys. Raises `TransientError`,
        `UnauthorizedError` (401, and any redirect) or `RefusedError` (another 4xx). Their
        texts hold neither the bearer nor any of `secrets`.
        """
        secrets = (bearer, *secrets)
        headers, content = _headers(bearer), None
        if body is not None:
            content = json.dumps(body, allow_nan=False).encode()
            headers["Content-Type"] = "application/json"
        if idempotency_key:
            headers["Idempotency-Key"] = idempotency_key
        with self.border(secrets), anyio.fail_after(self._call_seconds):
            async with self._queue:
                request = self._clients.requests.build_request(
                    method, self._path(path), params=query, headers=headers, content=content
                )
                raw = await self._exchange(request, secrets)
        read = partial(responses.read, raw, now=self.now())
        return await run_by_size(read, size=len(raw.content))

    async def _exchange(
        self, request: httpx.Request, secrets: tuple[str, ...]
    ) -> RawResponse:
        response = await self._clients.send(request)
        try:
            return await self._raw(response, secrets)
        finally:
            await _close(response)

    @asynccontextmanager
    async def stream(
        self, path: str, *, bearer: str, query: Mapping[str, str]
    ) -> AsyncIterator[httpx.Response]:
        """Open a response with a 2xx status, whose body is read as it arrives.

        Raises the errors of `call`. The reader translates errors of reading with `border`.
        """
        headers = {**_headers(bearer), "Accept": "text/event-stream"}
        # Not compressed: compression may hold an event back until more data follow.
        headers |= {"Accept-Encoding": "identity", "Cache-Control": "no-store"}
        request = self._clients.streams.build_request(
            "GET", self._path(path), params=query, headers=headers
        )
        with self.border((bearer,)), anyio.fail_after(self._call_seconds):
            response = await self._clients.send(request, of_stream=True)
        try:
            if not response.is_success:
                with self.border((bearer,)), anyio.fail_after(self._call_seconds):
                    raw = await self._raw(response, (bearer,))
                responses.refuse(replace(raw, is_of_stream=True), now=self.now())
            yield response
        finally:
            await _close(response)

    @property
    def rebuilds(self) -> int:
        """How often a blocked pool was replaced."""
        return self._clients.rebuilds

    @property
    def url(self) -> str:
        """The url of the platform."""
        return str(self._url)

    def _path(self, path: str) -> str:
        return str(self._url).rstrip("/") + path

    async def _raw(self, response: httpx.Response, secrets: tuple[str, ...]) -> RawResponse:
        return RawResponse(
            host=self.host,
            status=response.status_code,
            headers=response.headers,
            content=await read_body(response, self.host),
            redirects_to=response.extensions.get("redirects_to", ""),
            scrub=self._scrubbing(secrets),
        )

    def _scrubbing(self, secrets: tuple[str, ...]) -> Scrub:
        return partial(responses.scrub, secrets=secrets, known=self._scrub)

    @contextmanager
    def border(self, secrets: tuple[str, ...]) -> Iterator[None]:
        """Translate network errors to a `TransientError` with a hint."""
        try:
            yield
        except NETWORK_ERRORS as error:
            # Without its cause: h11 quotes the offending bytes, and httpx the request.
            raise self.translated(error, secrets) from None

    def translated(self, error: Exception, secrets: tuple[str, ...]) -> TransientError:
        """Return the error to raise for one of `NETWORK_ERRORS`, with a hint."""
        what, hint = exchange_errors.explain_failure(error, self._scrubbing(secrets))
        failure = exchange_errors.classify(error)
        return TransientError(f"{self.host}: {what}", hint=hint, failure=failure)


async def _close(response: httpx.Response) -> None:
    """Close a response, and free it now.

    It and its stream refer to each other, so that they, and the TLS connection below them,
    would stay in memory until garbage is collected: 40 KiB for each request.
    """
    try:
        await response.aclose()
    finally:
        response.stream = _CLOSED


_CLOSED = httpx.ByteStream(b"")
_VISIBLE = re.compile(r"[\x21-\x7e]+")


def _headers(bearer: str) -> dict[str, str]:
    headers = {"Accept": "application/json", "Accept-Encoding": "gzip"}
    if bearer:
        if not _VISIBLE.fullmatch(bearer):
            raise UnauthorizedError("the key or token holds characters HTTP cannot carry")
        headers["Authorization"] = f"Bearer {bearer}"
    return headers
