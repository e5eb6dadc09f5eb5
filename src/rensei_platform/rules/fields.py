"""Fields of a request: each function returns a checked value or raises InvalidRequestError.

Text is accepted as it is, but for what no database can keep: NUL and lone surrogates.
"""

import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeGuard

from rensei_platform.errors import InvalidRequestError

Json = dict[str, Any]

_EMAIL = re.compile(r"[A-Za-z0-9!#$%&'*+=?^_`{|}~.-]+@[A-Za-z0-9.-]+")
_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:@+-]{0,127}")
_BREAKING = ("Cc", "Zl", "Zp")
"""Categories of Unicode: control characters, and the ends of lines and paragraphs."""
LONGEST_TEXT = 1024
"""Characters of an id, a name or any other short text."""


def is_storable(value: str) -> bool:
    """Whether every database can keep this text."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in value


def storable(value: str, limit: int) -> str:
    """Return the text as it can be kept: at most `limit` characters, NUL replaced."""
    shown = value[:limit].replace("\0", "\N{REPLACEMENT CHARACTER}")
    return shown.encode(errors="replace").decode()


def check_text(value: object, name: str, *, longest: int = LONGEST_TEXT) -> str:
    """Return a text that is not empty."""
    if not isinstance(value, str):
        raise InvalidRequestError(f"{name} must be a string")
    if not value:
        raise InvalidRequestError(f"{name} is required")
    if len(value) > longest:
        raise InvalidRequestError(f"{name} must have at most {longest} characters")
    if not is_storable(value):
        raise InvalidRequestError(f"{name} must not contain NUL or unpaired surrogates")
    return value


def check_name(value: object, name: str) -> str:
    """Return a text that people call something by: in one line, and not blank."""
    found = check_text(value, name)
    if any(unicodedata.category(one) in _BREAKING for one in found):
        raise InvalidRequestError(f"{name} must not contain control characters")
    if not any(one.isprintable() and not one.isspace() for one in found):
        raise InvalidRequestError(f"{name} is blank")
    return found


def check_id(value: str, name: str) -> str:
    """Return an id that a caller chose: it stands in URLs and in paths of providers."""
    if _ID.fullmatch(value) is None:
        raise InvalidRequestError(
            f"{name} must have at most 128 of A-Z a-z 0-9 _ . : @ + -"
        )
    return value


def optional_id(body: Mapping[str, Any], name: str) -> str | None:
    """Return an id that a caller chose; None if absent, null or empty."""
    value = optional_text(body, name)
    return None if value is None else check_id(value, name)


def text(body: Mapping[str, Any], name: str, *, longest: int = LONGEST_TEXT) -> str:
    """Return a text that must be there."""
    value = body.get(name)
    if value is None:
        raise InvalidRequestError(f"{name} is required")
    return check_text(value, name, longest=longest)


def called(body: Mapping[str, Any]) -> str:
    """Return the `name` that people call something by, which must be there."""
    return check_name(text(body, "name"), "name")


def optional_text(
    body: Mapping[str, Any], name: str, *, longest: int = LONGEST_TEXT
) -> str | None:
    """Return a text; None if absent, null or empty."""
    value = body.get(name)
    return None if value in (None, "") else check_text(value, name, longest=longest)


def optional_time(body: Mapping[str, Any], name: str) -> datetime | None:
    """Return a time such as 2026-09-01T00:00:00Z; None if absent, null or empty."""
    value = optional_text(body, name, longest=40)
    if value is None:
        return None
    try:
        at = datetime.fromisoformat(value)
        if at.tzinfo is not None:
            return at.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise InvalidRequestError(f"{name} must be a time such as 2026-09-01T00:00:00Z")


def email(value: object) -> str:
    """Return an address in lower case. It is a name, and need not receive anything."""
    found = check_text(value, "email", longest=254)
    if _EMAIL.fullmatch(found) is None:
        raise InvalidRequestError("email must be an address such as ada@acme.test")
    return found.lower()


def optional_count(body: Mapping[str, Any], name: str) -> int | None:
    """Return a whole number from 0 on; None if absent or null."""
    value = body.get(name)
    if value is None:
        return None
    if not _is_count(value):
        raise InvalidRequestError(f"{name} must be a non-negative number")
    return int(value)


def count(body: Mapping[str, Any], name: str) -> int:
    """Return a whole number from 0 on that must be there."""
    value = optional_count(body, name)
    if value is None:
        raise InvalidRequestError(f"{name} must be a non-negative number")
    return value


def positive(body: Mapping[str, Any], name: str) -> int:
    """Return a whole number above 0 that must be there."""
    value = body.get(name)
    if not _is_count(value) or not value:
        raise InvalidRequestError(f"{name} must be a positive number")
    return int(value)


def _is_count(value: object) -> TypeGuard[int | float]:
    """Whether this is a whole number that a column holds; to JSON, 4.0 is one as well."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return 0 <= value < 2**31 and value == int(value)


def mapping(body: Mapping[str, Any], name: str) -> Json:
    """Return an object that must be there."""
    value = body.get(name)
    if not isinstance(value, dict):
        raise InvalidRequestError(f"{name} must be an object")
    return value


def optional_mapping(body: Mapping[str, Any], name: str) -> Json | None:
    """Return an object; None if absent or null."""
    return None if body.get(name) is None else mapping(body, name)


def optional_flag(body: Mapping[str, Any], name: str) -> bool | None:
    """Return true or false; None if absent or null."""
    value = body.get(name)
    if not isinstance(value, bool | None):
        raise InvalidRequestError(f"{name} must be true or false")
    return value


def optional_texts(body: Mapping[str, Any], name: str) -> tuple[str, ...] | None:
    """Return a list of texts; None if absent or null."""
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InvalidRequestError(f"{name} must be a list of strings")
    return tuple(check_text(item, f"an element of {name}") for item in value)


def choice(body: Mapping[str, Any], name: str, choices: tuple[str, ...]) -> str:
    """Return one of the choices."""
    value = body.get(name)
    if not isinstance(value, str) or value not in choices:
        raise InvalidRequestError(f"{name} must be one of: {', '.join(choices)}")
    return value
