"""Detects that the platform refuses our client certificate, and tries a renewed one.

A refusal is a TLS alert. In TLS 1.3 the platform sends it after the handshake and then
closes the connection while it receives our request, so the alert is often lost in a reset
(80 % of the time on loopback). After a connection that broke before any response, another
one is therefore opened that only waits for an alert.
"""

import ssl
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import anyio
import httpx

from rensei_daemon.errors import SettingsError
from rensei_daemon.platform_api.client_certificate import ClientCertificate

WAIT_SECONDS = 1.0
"""How long an alert may take after the handshake."""

PAUSE_SECONDS = 60.0
"""How long the result of such a connection is used, so that an outage causes few."""

_BROKEN = (httpx.ReadError, httpx.WriteError)
_ABOUT_OURS = frozenset(
    {
        "CERTIFICATE_REQUIRED",
        "BAD_CERTIFICATE",
        "UNSUPPORTED_CERTIFICATE",
        "CERTIFICATE_REVOKED",
        "CERTIFICATE_EXPIRED",
        "CERTIFICATE_UNKNOWN",
        "UNKNOWN_CA",
        "ACCESS_DENIED",
        "DECRYPT_ERROR",
    }
)
"""The alerts of RFC 8446, 6.2, that concern a client certificate."""


class TlsRefusedError(ssl.SSLError):
    """The platform refused our certificate, or requires one."""

    def __init__(self, alert: str, *, has_certificate: bool, trouble: str = "") -> None:
        super().__init__(alert)
        self.alert = alert
        """Its name in the RFC, in capitals."""
        self.has_certificate = has_certificate
        self.trouble = trouble
        """Why the files could not be read again."""


class CertificateRefusals:
    """Whether the platform refuses our certificate; shared by all clients."""

    def __init__(self, certificate: ClientCertificate | None) -> None:
        self.certificate = certificate
        self._lock = anyio.Lock()
        self._alert: str | None = None
        self._asked_at: float | None = None

    @property
    def loads(self) -> int:
        """How often a certificate was loaded."""
        return self.certificate.loads if self.certificate else 0

    async def reread(self) -> bool:
        """Load the certificate again, and return whether it has changed.

        Raises `SettingsError` when it cannot be used.
        """
        if self.certificate is None or not await self.certificate.reread():
            return False
        self._asked_at = None
        return True

    def forget(self) -> None:
        """Record a response: a later failure has another cause."""
        self._alert = None

    async def alert_after(
        self, error: Exception, ask: Callable[[], Awaitable[str | None]]
    ) -> str | None:
        """Return the alert that explains a failed request; None if there is none.

        `ask` waits for an alert on a new connection.
        """
        if alert := alert_in(error):
            self._alert, self._asked_at = alert, anyio.current_time()
        if alert or not isinstance(error, _BROKEN):
            return alert
        async with self._lock:
            now = anyio.current_time()
            if self._asked_at is None or now - self._asked_at > PAUSE_SECONDS:
                self._alert, self._asked_at = await ask(), now
            return self._alert


class CertificateRetryTransport(httpx.AsyncBaseTransport):
    """A transport that detects TLS refusals, and tries a renewed certificate once."""

    def __init__(
        self,
        make: Callable[[], httpx.AsyncBaseTransport],
        refusals: CertificateRefusals,
        *,
        is_proxied: bool,
    ) -> None:
        """Send with a transport made by `make`, and wait for alerts with others."""
        self._make = make
        self._inner = make()
        self._refusals = refusals
        self._has_tls = f"{'proxy' if is_proxied else 'connection'}.start_tls.complete"

    async def aclose(self) -> None:
        """Close every connection."""
        await self._inner.aclose()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; raises `TlsRefusedError` and httpx's errors."""
        loads = self._refusals.loads
        try:
            response = await self._inner.handle_async_request(request)
        except (httpx.TransportError, ssl.SSLError) as error:
            if request.url.scheme != "https":
                raise
            alert = await self._refusals.alert_after(error, partial(self._ask, request))
            if alert is None:
                raise
        else:
            self._refusals.forget()
            return response
        await self._renew(alert, loads)
        return await self._inner.handle_async_request(request)

    async def _renew(self, alert: str, loads: int) -> None:
        """Return if there is another certificate to try; else raise the refusal.

        `loads` is of the time before the request: another request, or a reload, may have
        loaded the other certificate since.
        """
        trouble = ""
        try:
            await self._refusals.reread()
        except SettingsError as error:
            trouble = str(error)
        if self._refusals.loads != loads:
            return
        has_certificate = self._refusals.certificate is not None
        raise TlsRefusedError(alert, has_certificate=has_certificate, trouble=trouble)

    async def _ask(self, request: httpx.Request) -> str | None:
        """Open a connection, send nothing, and return the alert that arrives."""
        probe = httpx.Request("GET", request.url)
        traced = request.extensions.get("trace")
        probe.extensions = {
            "timeout": request.extensions.get("timeout", {}),
            "trace": partial(_listen, self._has_tls, traced),
        }
        async with self._make() as alone:
            try:
                await alone.handle_async_request(probe)
            except _EnoughError:
                return None
            except (httpx.TransportError, ssl.SSLError) as error:
                return alert_in(error)
        return None


class _EnoughError(Exception):
    """Ends a request before it is sent."""


async def _listen(has_tls: str, traced: Any, name: str, info: Mapping[str, Any]) -> None:
    """Wait for an alert after the TLS handshake with the platform, then end the request."""
    if traced is not None:
        await traced(name, info)
    if name != has_tls:
        return
    stream = info["return_value"]
    try:
        with anyio.move_on_after(WAIT_SECONDS):
            await stream.read(1)
    finally:
        await stream.aclose()
    raise _EnoughError


def alert_in(error: BaseException | None) -> str | None:
    """Return the alert about our certificate from an error or its causes."""
    while error is not None:
        if isinstance(error, ssl.SSLError):
            alert = (error.reason or "").upper().replace(" ", "_").rpartition("ALERT_")[2]
            return alert if alert in _ABOUT_OURS else None
        error = error.__cause__ or error.__context__
    return None
