"""Probes the platform without changing anything: is it reachable, does it accept the key.

Connections use the same proxies and trusted certificates as the daemon's.
"""

import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path

import httpx

from rensei_daemon.core.session import Session
from rensei_daemon.errors import TransientError
from rensei_daemon.fast_dataclass import dataclass
from rensei_daemon.platform_api import exchange_errors, transport, wire
from rensei_daemon.platform_api.http import Http
from rensei_daemon.platform_api.proxies import Route, route_to
from rensei_daemon.platform_api.responses import http_date, unscrubbed
from rensei_daemon.platform_api.trust import Tls
from rensei_daemon.platform_api.worker_registration import OLD_REGISTER, REGISTER


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What a response of the platform shows."""

    status: int
    date: datetime | None
    """The time of the response by the platform's clock."""
    certificate_ends: datetime | None
    """None without TLS."""
    is_elsewhere: bool = False
    """Whether there is no registration endpoint: the url is not that of a platform."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The address of the first connection to the platform, or to its proxy."""

    host: str
    port: int
    route: Route


def endpoint_of(url: str, environ: Mapping[str, str]) -> Endpoint:
    """Return the address to connect to; raises `SettingsError` for an unusable proxy."""
    target = httpx.URL(url)
    route = route_to(target, environ)
    first = route.proxy or target
    port = first.port or (443 if first.scheme == "https" else 80)
    return Endpoint(first.host, port, route)


async def probe_platform(
    url: str,
    *,
    user_agent: str,
    ca_file: Path | None,
    client_files: tuple[Path, Path] | None,
    environ: Mapping[str, str],
) -> ProbeResult:
    """Send a GET without a key to the registration endpoint, and read only the headers.

    A GET registers nothing; a platform answers that the method or the key is wrong.

    Raises `TransientError` when nothing answers, `SettingsError` for an unusable file or
    proxy.
    """
    target = httpx.URL(url)
    tls = Tls(target, ca_file, client_files, reads_bundle=True)
    route = route_to(target, environ)
    async with transport.client(
        route, tls.context, tls.refusals, user_agent=user_agent
    ) as client:
        try:
            seen = await _glance(client, f"{url}{REGISTER}")
            if not seen.is_elsewhere:
                return seen
            return await _glance(client, f"{url}{OLD_REGISTER}")
        except (httpx.HTTPError, OSError) as error:  # an SSLError is an OSError
            what, hint = exchange_errors.explain_failure(error, unscrubbed)
            raise TransientError(f"{target.host}: {what}", hint=hint) from None


async def _glance(client: httpx.AsyncClient, url: str) -> ProbeResult:
    async with client.stream("GET", url) as response:
        return ProbeResult(
            status=response.status_code,
            date=http_date(response.headers.get("date", "")),
            certificate_ends=_end_of_certificate(response),
            is_elsewhere=response.status_code == HTTPStatus.NOT_FOUND,
        )


async def try_key(http: Http, key: str, session: Session) -> int:
    """Fetch a session's values, and return only their number.

    Raises what `Http.call` does.
    """
    body = wire.snapshot_body(session, org_id=session.org_id)
    answer = await http.call("POST", wire.SNAPSHOT, bearer=key, body=body)
    return len(wire.snapshot(answer.body, answered_at=answer.date or http.now()).env)


def _end_of_certificate(response: httpx.Response) -> datetime | None:
    network = response.extensions.get("network_stream")
    tls: ssl.SSLObject | None = network and network.get_extra_info("ssl_object")
    certificate = tls.getpeercert() if tls else None
    if not certificate:
        return None
    ends = ssl.cert_time_to_seconds(str(certificate["notAfter"]))
    return datetime.fromtimestamp(ends, UTC)
