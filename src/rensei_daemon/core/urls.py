"""Where a URL leads, by its text; nothing here opens a connection."""

import ipaddress
import re
from urllib.parse import urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_HOST = re.compile(r"[A-Za-z0-9.:_\[\]-]{1,255}")
_NAME = re.compile(r"[!-~]{1,253}")
_DIGITS = re.compile(r"[0-9.]+")
_PART = re.compile(r"0[xX][0-9a-fA-F]{1,8}|0[0-7]{0,11}|[1-9][0-9]{0,9}")
"""One number of an IPv4 address, in the bases that inet_aton(3) reads."""


def is_loopback(url: str) -> bool:
    """Whether a URL leads to this host, by its text alone.

    A name that only resolves to a loopback address does not count: names can change. A
    URL that cannot be parsed is not loopback.
    """
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    return is_loopback_host(host)


def host_in(url: str) -> str:
    """Return the host and port of a URL; empty if it has none.

    The result contains only characters that a host can have, and no user or password.
    """
    try:
        named = urlsplit(url).netloc.rpartition("@")[2]
    except ValueError:
        return ""
    return named if _HOST.fullmatch(named) else ""


def is_host(name: str) -> bool:
    """Whether a name, as it stands in a URL, can be looked up, or is an address."""
    if not name.isascii() or name.startswith("xn--") or ".xn--" in name:
        import idna  # few names need it

        try:
            return bool(idna.decode(idna.encode(name)))
        except UnicodeError:
            return False
    if ":" in name or _DIGITS.fullmatch(name):
        return address_of(name) is not None
    return _NAME.fullmatch(name) is not None


def is_loopback_host(host: str) -> bool:
    """Whether this is a name or address of the host it is used on.

    `localhost` and names below it count, as do `127.0.0.0/8` and `::1` in any spelling.
    """
    name = host.removesuffix(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    address = address_of(host)
    return address is not None and address.is_loopback


def address_of(host: str) -> Address | None:
    """Return the IP address in a host; None for a name.

    Every spelling that a connection would accept counts: IPv6 in brackets or with a
    zone, IPv4 that is short, hexadecimal or octal (`127.1`), and IPv4 mapped into IPv6,
    which gives the IPv4 address.
    """
    text = host.removeprefix("[").removesuffix("]").partition("%")[0]
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return _by_inet_aton(text)
    if isinstance(found, ipaddress.IPv6Address):
        return found.ipv4_mapped or found
    return found


def _by_inet_aton(text: str) -> ipaddress.IPv4Address | None:
    """Parse `a.b.c.d`, `a.b.c`, `a.b` or `a`; the last number fills the rest."""
    parts = text.split(".", 4)
    if len(parts) > 4 or not all(map(_PART.fullmatch, parts)):
        return None
    *firsts, last = map(_number, parts)
    if max(firsts, default=0) > 255 or last >= 256 ** (4 - len(firsts)):
        return None
    value = last + sum(n << 8 * (3 - index) for index, n in enumerate(firsts))
    return ipaddress.IPv4Address(value)


def _number(text: str) -> int:
    if text[:2] in ("0x", "0X"):
        return int(text, 16)
    return int(text, 8 if text.startswith("0") else 10)


def is_address(host: str) -> bool:
    """Whether this is an IP address in its regular spelling."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
