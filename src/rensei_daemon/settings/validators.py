"""Rules for single values, beyond their type.

Each function returns the normalised value, or raises `ValueError` with a sentence for the
operator, which never quotes a value that could be a secret.
"""

import math
import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from rensei_daemon.core.mutation import Op
from rensei_daemon.core.spelling import nearest
from rensei_daemon.core.urls import is_address, is_host, is_loopback

_MODE = re.compile(r"0?[0-7]{3}")
_OWN_NAME = re.compile(
    r"control\.sock|credentials\.sock|token|\..+(\.hook-done|\.[0-9a-f]{12}\.tmp)"
)
"""Of files that the daemon makes in its runtime directory, or beside one of a session."""
MAX_DEPTH = 64
"""Of lists and tables; a mutation may bring sixteen levels."""
_LONGEST_URL = 2048
_SESSION_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class Within(NamedTuple):
    """Requires a finite number from `least` to `most`."""

    least: int
    most: int

    def __call__(self, number: float) -> float:
        """Return the number, or raise `ValueError`."""
        _require_finite(number)
        if number < self.least:
            raise ValueError(f"must be at least {self.least}")
        if number > self.most:
            raise ValueError(f"must be at most {self.most}")
        return number


def positive(number: float) -> float:
    """Require a finite number above zero."""
    _require_finite(number)
    if number <= 0:
        raise ValueError("must be greater than 0")
    return number


def _require_finite(number: float) -> None:
    if not -math.inf < number < math.inf:  # `isfinite` fails at a huge integer
        raise ValueError("must be a finite number")


def usable_text(text: str) -> str:
    """Require at least one character; a variable may hold bytes that are no text."""
    if not text:
        raise ValueError("must not be empty")
    _refuse_nul(text)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("must be a text in UTF-8") from None
    return text


def usable_path(path: Path) -> Path:
    """Require a path that the system accepts."""
    _refuse_nul(str(path))
    return path


def _refuse_nul(text: str) -> None:
    if "\0" in text:
        raise ValueError("must not contain a NUL")


def session_id(text: str) -> str:
    """Require what can be part of a path, a variable and a command as it is."""
    if not _SESSION_ID.fullmatch(text):
        raise ValueError("must be 1 to 64 letters, digits, dots, dashes, underscores")
    return text


def shallow(value: Any) -> Any:
    """Require a value of any shape that is nested so little that it can be printed."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [part for each in level for part in _parts(each)]
        if not level:
            return value
    raise ValueError(f"is nested too deeply: {MAX_DEPTH} levels at most")


def _parts(value: Any) -> Iterable[Any]:
    if isinstance(value, Mapping):
        return value.values()
    return value if isinstance(value, (list, tuple)) else ()


def platform_url(url: str) -> str:
    """Require a plain https URL; http only for this host, where nobody can listen in."""
    text = url.strip().rstrip("/")
    try:
        parts = urlsplit(text)
        _ = parts.port  # this also validates it
    except ValueError:
        raise ValueError("this is not a URL") from None
    if len(text) > _LONGEST_URL or not text.isprintable() or " " in text:
        raise ValueError("this is not a URL")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("it must be an https:// URL")
    if not is_host(parts.hostname):
        raise ValueError("its host is neither a name nor an address")
    if parts.username is not None or parts.password is not None:
        raise ValueError("it must not hold a user name or password")
    if parts.query or parts.fragment:
        raise ValueError("it must not have a query or a fragment")
    if parts.scheme == "http" and not is_loopback(text):
        raise ValueError("https is required, except to a loopback address")
    return text


def is_placeholder(url: str) -> bool:
    """Whether the name of the URL is reserved for examples and tests (RFC 6761)."""
    try:
        return (urlsplit(url).hostname or "").endswith(".invalid")
    except ValueError:
        return False


def operation_pattern(pattern: str) -> str:
    """Require the name of an op, or a pattern with `*` that matches at least one."""
    if any(fnmatchcase(operation, pattern) for operation in Op):
        return pattern
    families = [f"{name.split('.')[0]}.*" for name in Op]
    meant = nearest(pattern, [*Op, *families])
    raise ValueError(
        "no op of this daemon matches this pattern" + (f" ({meant})" if meant else "")
    )


def octal_mode(mode: str) -> str:
    """Require three octal digits, with or without a leading zero."""
    if not _MODE.fullmatch(mode):
        raise ValueError('it must be an octal mode in quotes, like "0440"')
    return mode


def env_file(path: Path) -> Path:
    """Require an absolute path, or one that stays inside the runtime directory."""
    usable_path(path)
    relative = PurePosixPath(path)
    if not relative.name or ".." in relative.parts:
        raise ValueError("it must name a file, without '..'")
    if _OWN_NAME.fullmatch(relative.name):
        raise ValueError("this name belongs to the daemon")
    return path


def listen_address(address: str) -> str:
    """Require ADDRESS:PORT, with brackets around an IPv6 address.

    An address, not a name: the start must not wait for a name lookup.
    """
    try:
        split_address(address)
    except ValueError:
        raise ValueError(
            'it must be an IP address of this host and a port, like "127.0.0.1:9464"'
        ) from None
    return address


def split_address(address: str) -> tuple[str, int]:
    """Return IP address and port of ADDRESS:PORT; raise `ValueError` for another text."""
    parts = urlsplit(f"//{address}")
    host = "127.0.0.1" if parts.hostname == "localhost" else parts.hostname
    is_plain = parts.netloc == address and "@" not in address
    if not host or not parts.port or not is_plain or not is_address(host):
        raise ValueError("not ADDRESS:PORT")
    return host, parts.port
