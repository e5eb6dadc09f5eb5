"""Error messages, hints and failure kinds for exchanges that failed; without secrets."""

import errno
import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime

import httpx

from rensei_daemon.errors import Failure
from rensei_daemon.platform_api.responses import Scrub
from rensei_daemon.platform_api.tls_refusal import TlsRefusedError

MAX_QUOTED = 200
"""Characters kept of what a peer sent in violation of the protocol."""

_CONNECTING = (socket.gaierror, ssl.SSLError, ConnectionRefusedError)
_OURS = "platform.client_cert_file and platform.client_key_file"
_NAME_SERVERS = "check the name servers of this host: resolvectl status; /etc/resolv.conf"
_NO_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)
_MORE_DESCRIPTORS = "raise LimitNOFILE= in the unit, or ulimit -n"
_REACH = "check the network, the firewall and the proxy settings"


class NameServerSilentError(httpx.ConnectTimeout):
    """No connection was made, because no name server answered."""


def explain_failure(error: Exception, scrub: Scrub) -> tuple[str, str]:
    """Return what happened and what to do; `scrub` removes secrets from the peer's text."""
    for cause in _causes(error):
        if isinstance(cause, _CONNECTING):
            return _explain_connect(cause)
        if isinstance(cause, OSError) and cause.errno in _NO_DESCRIPTORS:
            return "no connection can be opened: too many open files", _MORE_DESCRIPTORS
    match error:
        case NameServerSilentError():
            return "no name server answers (DNS)", _NAME_SERVERS
        case httpx.ConnectTimeout() | httpx.ConnectError():
            return "it cannot be reached", _REACH
        case httpx.PoolTimeout():
            return "no connection came free; the pool was replaced", ""
        case httpx.TimeoutException() | TimeoutError():
            return "it did not answer in time", "it, or the network, is slow or stuck"
        case _:
            return _explain_exchange(error, scrub)


def _explain_exchange(error: Exception, scrub: Scrub) -> tuple[str, str]:
    match error:
        case httpx.ProxyError():
            hint = "check the *_proxy variables of the service"
            return f"the proxy refused: {_quoted(error, scrub)}", hint
        case httpx.RemoteProtocolError():
            quoted = _quoted(error, scrub)
            return f"it closed the connection, or does not speak HTTP: {quoted}", ""
        case _:
            return f"the connection broke ({type(error).__name__})", ""


_DATES = (9, 10)
"""OpenSSL's codes for a certificate that is not yet valid, or has expired."""


def _has_other_dates(error: BaseException) -> bool:
    return isinstance(error, ssl.SSLCertVerificationError) and error.verify_code in _DATES


def is_untrusted(error: Exception) -> bool:
    """Whether the certificate of the platform, or of the proxy, was not trusted."""
    return any(isinstance(cause, ssl.SSLCertVerificationError) for cause in _causes(error))


def classify(error: Exception) -> Failure:
    """Return the kind of failure."""
    if isinstance(error, TlsRefusedError):
        return Failure.TLS_REFUSED
    if any(map(_has_other_dates, _causes(error))):
        return Failure.CERTIFICATE_DATES
    if any(isinstance(cause, _CONNECTING) for cause in _causes(error)):
        return Failure.UNREACHABLE
    match error:
        case httpx.ConnectTimeout() | httpx.ConnectError() | httpx.ProxyError():
            return Failure.UNREACHABLE
        case httpx.TimeoutException() | TimeoutError():
            return Failure.TIMEOUT
        case _:
            return Failure.BROKEN


def _explain_connect(cause: OSError) -> tuple[str, str]:
    match cause:
        case TlsRefusedError():
            return _explain_refusal(cause)
        case socket.gaierror(errno=socket.EAI_AGAIN):
            return "no name server could look up its name (DNS)", _NAME_SERVERS
        case socket.gaierror():
            what = "its name cannot be resolved (DNS)"
            return what, "check platform.url, and DNS on this host"
        case ssl.SSLCertVerificationError() if _has_other_dates(cause):
            today = f"by this host's clock, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
            return (
                f"its certificate is not valid {today}: {cause.verify_message}",
                "check this host's clock: timedatectl; then the platform's certificate",
            )
        case ssl.SSLCertVerificationError():
            return (
                f"its certificate is not trusted: {cause.verify_message}",
                "set platform.ca_file to your CA's bundle, and check this host's clock",
            )
        case ssl.SSLError():
            what = f"the TLS handshake failed ({cause.reason})"
            return what, (
                "check that platform.url speaks TLS; if it asks for a client certificate, "
                f"set {_OURS}"
            )
        case _:
            return "it refused the connection", "check platform.url, and that it is up"


def _explain_refusal(refusal: TlsRefusedError) -> tuple[str, str]:
    alert = refusal.alert.lower().replace("_", " ")
    if not refusal.has_certificate:
        what = f"it asks for a client certificate, and this host has none ({alert})"
        return what, f"set {_OURS}, then restart the daemon"
    what = f"it does not accept this host's client certificate ({alert})"
    if refusal.trouble:
        what += f", and it cannot be read again: {refusal.trouble}"
    return what, f"put a valid pair in {_OURS}, then: rensei-daemon reload"


def _quoted(error: Exception, scrub: Scrub) -> str:
    # The library's own text ends at the colon; the offending bytes follow.
    return scrub(str(error).partition(":")[0])[:MAX_QUOTED]


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        if isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]  # one error for each address; the first is enough
        else:
            error = error.__cause__ or error.__context__
