"""JSON over HTTP to a secret store: bounded, without redirects, without foreign text.

Each request has a client of its own. They are rare, and a client that is not shared has no
connection that the other side has closed meanwhile and no pool that a cancellation can
leave full. The TLS context, which is what costs time, is made once, and again when the
file of the authorities has changed.
"""

import os
import ssl
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from rensei_platform.errors import SettingsError
from rensei_platform.providers.base import BadAnswerError, ProviderUnavailableError
from rensei_platform.providers.fields import parse_fields
from rensei_platform.regular_file import check_regular, file_version

CONNECT_SECONDS: Final = 5.0
_REDIRECTS: Final = range(300, 400)
_LOOPBACK: Final = {"localhost", "127.0.0.1", "::1"}


@dataclass(frozen=True, slots=True)
class Answer:
    """A response whose body has been read."""

    status: int
    body: bytes

    def fields(self) -> dict[str, Any]:
        """Return the body's JSON object. Raise BadAnswerError."""
        return parse_fields(self.body)


class HttpClient:
    """Sends requests to one address."""

    def __init__(
        self,
        address: str,
        *,
        ca_file: Path | None,
        allow_http: bool,
        most_bytes: int,
        timeout: float,
    ) -> None:
        self._address = checked_address(address, allow_http=allow_http)
        self._most_bytes = most_bytes
        self._timeout = httpx.Timeout(timeout, connect=min(timeout, CONNECT_SECONDS))
        self._tls = _Trust(ca_file) if self._address.startswith("https:") else None

    async def send(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        *,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Answer:
        """Send one request to a path below the address and return the answer.

        Raise ProviderUnavailableError if there is none or the server is at fault (5xx,
        429), BadAnswerError for a redirect or too large a body.
        """
        try:
            async with (
                self._client() as client,
                client.stream(
                    method,
                    self._address + path,
                    params=params,
                    json=body,
                    headers={"Accept-Encoding": "identity", **headers},
                ) as response,
            ):
                return Answer(response.status_code, await self._read(response))
        except httpx.TimeoutException as error:
            raise ProviderUnavailableError("no answer in time") from error
        except httpx.HTTPError as error:
            # Texts of TLS and of the resolver; requests and values are not in them.
            raise _unreachable(error) from error

    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            verify=self._tls.context() if self._tls else False,
            timeout=self._timeout,
            follow_redirects=False,
            trust_env=False,
        )

    async def _read(self, response: httpx.Response) -> bytes:
        if response.status_code in _REDIRECTS:
            raise BadAnswerError(
                "answered with a redirect, which is not followed",
                hint="Let `address` name the server that answers itself.",
            )
        if response.headers.get("content-encoding", "identity") != "identity":
            raise BadAnswerError("answered in a compressed form that was not asked for")
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > self._most_bytes:
                raise BadAnswerError(f"the answer is larger than {self._most_bytes} bytes")
        return bytes(body)


def _unreachable(error: httpx.HTTPError) -> ProviderUnavailableError:
    """Return the error for a server that cannot be asked, or should not be."""
    detail = str(error)
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return ProviderUnavailableError(
                f"its certificate is not trusted ({cause.verify_message})",
                hint="Let `ca_file` hold its authority, and `address` a name it is for.",
            )
        if (
            isinstance(cause, OSError)
            and not isinstance(cause, ssl.SSLError)
            and cause.errno is not None
        ):
            # httpx says that all attempts failed, and not how. The resolver's numbers are
            # its own, and below 0, as TLS has its own too.
            known = cause.errno > 0
            detail = os.strerror(cause.errno) if known else str(cause.strerror)
    return ProviderUnavailableError(
        f"cannot be reached ({type(error).__name__})", detail=detail[:200]
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield what led to an error, the last first; of several attempts the first."""
    while error is not None:
        yield error
        if isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        else:
            error = error.__cause__ or error.__context__


def checked_address(address: str, *, allow_http: bool) -> str:
    """Return a base URL without a final slash. Raise SettingsError for any other text."""
    try:
        parts = urlsplit(address)
        good = bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or parts.username or parts.query or parts.fragment:
        raise SettingsError("address: not a URL of a server, such as https://vault:8200")
    if parts.scheme != "https" and not (
        parts.scheme == "http" and (allow_http or parts.hostname in _LOOPBACK)
    ):
        raise SettingsError(
            "address: neither https:// nor http:// on the loopback device",
            hint="Set `allow_http = true` if the network in between is trusted.",
        )
    return address.rstrip("/")


class _Trust:
    """The authorities that a server's certificate may be of."""

    def __init__(self, ca_file: Path | None) -> None:
        """Raise SettingsError for a file of no use. None: the system's authorities."""
        self._file = ca_file
        self._seen = file_version(ca_file) if ca_file else None
        self._context = _tls_context(ca_file)

    def context(self) -> ssl.SSLContext:
        """Return the TLS context; while a file that has changed is wrong, the old one."""
        if self._file is None:
            return self._context
        found = file_version(self._file)
        if found != self._seen:
            with suppress(SettingsError):
                self._context = _tls_context(self._file)
                self._seen = found
        return self._context


def _tls_context(ca_file: Path | None) -> ssl.SSLContext:
    try:
        if ca_file is not None:
            check_regular(ca_file)
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise SettingsError(f"ca_file: {ca_file}: {error.strerror or error}") from error
