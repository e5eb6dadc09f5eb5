"""What a URL says about where it leads; nothing here opens a connection."""

import ipaddress
from urllib.parse import urlsplit


def is_loopback(url: str) -> bool:
    """Tell whether a URL leads to this very host, by its text alone.

    `localhost` and names below it count, as do `127.0.0.0/8` and `::1`. A name that
    only resolves to a loopback address does not: names can change their mind. A URL
    that cannot be read is not loopback.
    """
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    if host == "localhost" or host.endswith(".localhost"):
        return True
    return is_loopback_host(host)


def is_loopback_host(host: str) -> bool:
    """Tell whether this is an address of the very host it is used on."""
    return is_address(host) and ipaddress.ip_address(host).is_loopback


def is_address(host: str) -> bool:
    """Tell whether this is an IP address, not a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
