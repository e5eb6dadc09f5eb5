"""Whether requests to the platform go through a proxy, and which one.

The usual environment variables decide; lower case takes precedence over upper case.
"""

import ipaddress
import re
from collections.abc import Mapping
from contextlib import suppress

import httpx

from rensei_daemon.core.urls import address_of, is_host, is_loopback_host
from rensei_daemon.errors import SettingsError
from rensei_daemon.fast_dataclass import dataclass, field

_PORTS = {"http": 80, "https": 443}
_MOST_PORT = 65535
_SEPARATOR = re.compile(r"[\s,]+")
_WITH_PORT = re.compile(r"(\[[^\]]*\]|[^:]*):([0-9]{1,5})")
"""An entry of no_proxy with a port; a bare IPv6 address has none."""
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")


@dataclass(frozen=True, slots=True)
class Route:
    """How one URL is reached."""

    proxy: httpx.URL | None = field(repr=False)
    """None for a direct connection; its URL may hold a password."""
    reason: str
    """What decided: a variable, an entry of it, or that the platform is on this host."""

    def __str__(self) -> str:
        """Return a description without the password of the proxy."""
        if self.proxy is None:
            return f"direct ({self.reason})"
        return f"through the proxy {self.proxy.netloc.decode()} ({self.reason})"


def route_to(url: httpx.URL, environ: Mapping[str, str]) -> Route:
    """Return how a URL is reached; a platform on this host is never reached by proxy.

    Raises `SettingsError` when the variable that applies names no HTTP proxy.
    """
    if is_loopback_host(url.host):
        return Route(None, "the platform is on this host")
    names = (f"{url.scheme}_proxy", "all_proxy")
    named = next(filter(None, (_variable(name, environ) for name in names)), None)
    if named is None:
        return Route(None, f"neither {' nor '.join(names)} is set")
    variable, text = named
    if found := _variable("no_proxy", environ):
        host, port = url.raw_host.decode(), url.port or _PORTS[url.scheme]
        if entry := exception_for(host, port, found[1]):
            return Route(None, f'{found[0]} has "{entry}"')
    return Route(_proxy(variable, text), variable)


def exception_for(host: str, port: int, no_proxy: str) -> str | None:
    """Return the entry of a `no_proxy` list that names this host; None if none does.

    An entry is `*`, a domain (with everything below it), an address in any spelling, or
    a network such as `10.0.0.0/8`; each but the last may end in a port.
    """
    entries = filter(None, _SEPARATOR.split(no_proxy))
    return next((entry for entry in entries if _names(entry, host, port)), None)


def _names(entry: str, host: str, port: int) -> bool:
    if entry == "*":
        return True
    address = address_of(host)
    if "/" in entry:
        return address is not None and _is_in(address, entry)
    if with_port := _WITH_PORT.fullmatch(entry):
        entry = with_port[1]
        if int(with_port[2]) != port:
            return False
    if address is not None:
        return address == address_of(entry)
    domain = _ascii(entry.removeprefix("*").removeprefix(".").removesuffix("."))
    return bool(domain) and f".{_ascii(host.removesuffix('.'))}".endswith(f".{domain}")


def _is_in(address: ipaddress.IPv4Address | ipaddress.IPv6Address, entry: str) -> bool:
    text = entry.replace("[", "").replace("]", "")
    with suppress(ValueError):
        network = ipaddress.ip_network(text, strict=False)
        if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
            mapped = network.network_address.ipv4_mapped
            network = ipaddress.ip_network(f"{mapped}/{network.prefixlen - 96}")
        return address in network
    return False


def _ascii(name: str) -> str:
    with suppress(UnicodeError):
        return name.encode("idna").decode().lower()
    return name.lower()


def _variable(name: str, environ: Mapping[str, str]) -> tuple[str, str] | None:
    """Return the name and the value of the variable that applies."""
    for variable in (name, name.upper()):
        if variable in environ:
            # An empty variable in lower case overrides the one in upper case.
            return (variable, text) if (text := environ[variable].strip()) else None
    return None


def _proxy(variable: str, text: str) -> httpx.URL:
    try:
        address = httpx.URL(text if "://" in text else f"http://{text}")
        is_usable = is_host(address.host) and 0 <= (address.port or 0) <= _MOST_PORT
    except (httpx.InvalidURL, UnicodeError):
        address, is_usable = httpx.URL(), False
    if address.scheme not in _PORTS or not is_usable:
        # The URL itself is not quoted: it may hold a password.
        raise SettingsError(
            f"the variable {variable} names no HTTP proxy",
            hint="it is a URL such as http://proxy.example:3128",
        )
    return address
