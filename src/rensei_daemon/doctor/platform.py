"""The connection to the platform, step by step: name, connection, TLS, clock, key.

The checks end at the first step that fails, because the later ones depend on it.
"""

import os
import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial

import anyio

from rensei_daemon import __version__
from rensei_daemon.core.session import Session
from rensei_daemon.doctor.api_key import find_key
from rensei_daemon.doctor.call_with_timeout import call_with_timeout
from rensei_daemon.doctor.context import DoctorContext
from rensei_daemon.doctor.result import CheckResult, failed, failed_by, passed, warned
from rensei_daemon.errors import RefusedError, RenseiError, SettingsError, UnauthorizedError
from rensei_daemon.platform_api.http import open_http
from rensei_daemon.platform_api.platform_probe import (
    Endpoint,
    ProbeResult,
    endpoint_of,
    probe_platform,
    try_key,
)
from rensei_daemon.platform_api.worker_registration import REGISTER
from rensei_daemon.settings.values import Settings

RESOLVE_SECONDS = 4.0
CONNECT_SECONDS = 2.0
ANSWER_SECONDS = 4.0
CERTIFICATE_DAYS = 14
"""With fewer days left, automatic renewal has probably failed."""
SKEW_WARNING_SECONDS, SKEW_ERROR_SECONDS = 30.0, 300.0
_AGENT = f"rensei-daemon-doctor/{__version__}"

_Address = tuple[str, int]


def check_platform(case: DoctorContext) -> Iterator[CheckResult]:
    """Check the connection step by step, up to the first failure."""
    settings, url = case.settings, case.url
    if settings is None or url is None:
        return  # there is no address
    way = endpoint_of(url, case.environ)
    yield from _route(case, url, way)
    addresses: list[_Address] = []
    for step in (
        _resolve(way, addresses),
        _connect(way, addresses),
        _answer(case, url, settings),
    ):
        for finding in step:
            yield finding
            if finding.verdict == "fail":
                return
    if not case.is_running:
        yield from _key(case, settings)


def _route(case: DoctorContext, url: str, way: Endpoint) -> Iterator[CheckResult]:
    message = f"{url}: {way.route}"
    if case.settings and url != case.settings.platform.url:
        message += f"; from the next start on it is {case.settings.platform.url}"
    if case.is_running and case.environ is case.shell:
        message += "; by this shell's variables, for the daemon's own are not to be seen"
    yield passed("platform.route", message)
    own = endpoint_of(url, case.shell).route
    if own != way.route:
        yield passed("platform.route", f"commands of this shell: {own}")


def _resolve(way: Endpoint, addresses: list[_Address]) -> Iterator[CheckResult]:
    what = f"{'the proxy ' if way.route.proxy else ''}{way.host}"
    look_up = partial(socket.getaddrinfo, way.host, way.port, type=socket.SOCK_STREAM)
    try:
        found = call_with_timeout(RESOLVE_SECONDS, look_up)
    except (OSError, UnicodeError) as error:
        message = getattr(error, "strerror", None) or str(error) or "no answer"
        fix = f"getent ahosts {way.host}; is platform.url right, and /etc/resolv.conf?"
        yield failed("platform.dns", f"{what} has no address: {message}", fix)
        return
    addresses += ((str(at[0]), way.port) for *_, at in found)
    names = ", ".join(address for address, _ in addresses)
    message = "needs no name" if names == way.host else f"is {names}"
    yield passed("platform.dns", f"{what} {message}")


def _connect(way: Endpoint, addresses: list[_Address]) -> Iterator[CheckResult]:
    troubles = anyio.run(_connect_all, addresses)
    good = len(addresses) - len(troubles)
    message = "; ".join(f"{address}: {why}" for address, why in troubles.items())
    if not good:
        fix = f"check the network and the firewall: nc -vz {way.host} {way.port}"
        yield failed("platform.tcp", f"port {way.port} cannot be reached ({message})", fix)
    elif troubles:
        what = f"{good} of {len(addresses)} addresses can be reached ({message})"
        fix = (
            "fix the route, or take the dead address out of DNS: each try of it costs time"
        )
        yield warned("platform.tcp", what, fix)
    else:
        yield passed("platform.tcp", f"port {way.port} can be reached")


async def _connect_all(addresses: list[_Address]) -> dict[str, str]:
    """Return the error of each address that cannot be reached."""
    troubles: dict[str, str] = {}

    async def connect(address: str, port: int) -> None:
        try:
            with anyio.fail_after(CONNECT_SECONDS):
                stream = await anyio.connect_tcp(address, port)
            await stream.aclose()
        except TimeoutError:
            troubles[address] = f"no answer for {CONNECT_SECONDS:g} s"
        except OSError as error:
            # asyncio replaces the system's message by its own.
            number = getattr(error.__cause__, "errno", None)
            troubles[address] = os.strerror(number) if number else "it cannot be reached"

    async with anyio.create_task_group() as tries:
        for address, port in addresses:
            tries.start_soon(connect, address, port)
    return troubles


def _answer(case: DoctorContext, url: str, settings: Settings) -> Iterator[CheckResult]:
    is_tls = url.startswith("https:")
    code = "platform.tls" if is_tls else "platform.http"
    try:
        seen = anyio.run(_look, case, url, settings)
    except RenseiError as error:
        yield failed_by(code, error)
        return
    except TimeoutError:
        what = f"connected, but no answer within {ANSWER_SECONDS:g} s"
        yield failed(code, what, "is there a proxy or a firewall in between?")
        return
    if seen.certificate_ends is not None:
        yield _certificate(seen.certificate_ends)
    elif not is_tls:
        yield passed(code, f"it answers ({seen.status})")
    if seen.date is not None:
        yield _clock(seen.date)
    if seen.is_elsewhere and not _has_beaten(case):
        what = f"{url} answers, but has no {REGISTER}: it answers {seen.status}"
        fix = "is the path in platform.url right? It is what stands before /api/workers"
        yield failed("platform.path", what, fix)


def _has_beaten(case: DoctorContext) -> bool:
    """Whether a successful heartbeat has already shown that the url is right."""
    beats = (case.status or {}).get("heartbeat")
    return bool(isinstance(beats, dict) and beats.get("last_ok_at"))


async def _look(case: DoctorContext, url: str, settings: Settings) -> ProbeResult:
    platform = settings.platform
    with anyio.fail_after(ANSWER_SECONDS):
        return await probe_platform(
            url,
            user_agent=_AGENT,
            ca_file=platform.ca_file,
            client_files=platform.client_files,
            environ=case.environ,
        )


def _certificate(ends: datetime) -> CheckResult:
    days = (ends - datetime.now(UTC)).days
    what = f"its certificate is trusted, and good for {days} days"
    if days < CERTIFICATE_DAYS:
        fix = "have it renewed by the operator of the platform, or the proxy before it"
        return warned("platform.tls", what, fix)
    return passed("platform.tls", f"{what} ({ssl.OPENSSL_VERSION.partition('  ')[0]})")


def _clock(date: datetime) -> CheckResult:
    """Compare this host's clock with the platform's, which has whole seconds."""
    skew = (datetime.now(UTC) - date).total_seconds()
    if abs(skew) <= SKEW_WARNING_SECONDS:
        return passed("clock", "within 30 s of the platform's")
    side = "ahead of" if skew > 0 else "behind"
    what = f"this host is {abs(skew):.0f} s {side} the platform"
    judge = failed if abs(skew) > SKEW_ERROR_SECONDS else warned
    return judge("clock", what, "timedatectl set-ntp true; timedatectl timesync-status")


def _key(case: DoctorContext, settings: Settings) -> Iterator[CheckResult]:
    """Test the key with one snapshot, discarded; a running daemon does so itself."""
    session = _first_session(settings)
    if session is None or case.config_error is not None:
        return  # the key may not be meant for the platform of the last good text
    try:
        key = find_key(case).secret
        count = anyio.run(partial(_try_key, case, settings, key, session))
    except (PermissionError, SettingsError):
        return  # the check of the key has reported it
    except (UnauthorizedError, RefusedError) as error:
        yield failed_by("platform.key", error)
    except RenseiError as error:
        yield warned("platform.key", str(error), error.hint or "try again")
    else:
        what = f"the key is accepted; variables of session {session.id}: {count}"
        yield passed("platform.key", what)


async def _try_key(
    case: DoctorContext, settings: Settings, key: str, session: Session
) -> int:
    platform = settings.platform
    async with open_http(
        platform.url,
        user_agent=_AGENT,
        ca_file=platform.ca_file,
        client_files=platform.client_files,
        call_seconds=ANSWER_SECONDS,
        environ=case.environ,
    ) as http:
        return await try_key(http, key, session)


def _first_session(settings: Settings) -> Session | None:
    org_id = settings.platform.org_id
    for session in settings.credentials.resolved_sessions:
        if org_id and session.project_id and session.env_name:
            return Session(
                id=session.id,
                project_id=session.project_id,
                env_name=session.env_name,
                org_id=org_id,
            )
    return None
