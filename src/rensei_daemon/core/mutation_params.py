"""Read a mutation's params: check any JSON and return typed values, or refuse it."""

import math
from collections.abc import Mapping, Sequence

from rensei_daemon.core.escaping import is_visible
from rensei_daemon.core.length_limits import MAX_ID, MAX_TEXT
from rensei_daemon.errors import InvalidMutationError

MAX_DEPTH = 16
"""Limit of nesting for a value that is stored as given; known values need five."""


def decode_error(what: str, *, where: str = "") -> InvalidMutationError:
    """Return the error about the params, in the wire's words."""
    return InvalidMutationError(f"{where}decode params: {what}")


def params_object(params: object) -> Mapping[str, object]:
    """Return the params as an object; missing params are an empty object."""
    return {} if params is None else json_object(params, "params")


def json_object(value: object, name: str) -> Mapping[str, object]:
    """Return the value as an object whose keys a file can contain."""
    if not isinstance(value, Mapping):
        raise decode_error(f"{name} must be an object, not {_kind(value)}")
    for key in value:
        text(key, f"a key of {name}")
    return value


def in_own_spelling(found: Mapping[str, object], known: Sequence[str]) -> dict[str, object]:
    """Return an object with the known keys as they are spelled, whatever their case was.

    The platform's own daemon reads keys so. A key that is spelled exactly wins.
    """
    spelling = {key.lower(): key for key in known}
    respelled = {spelling.get(key.lower(), key): value for key, value in found.items()}
    return respelled | {key: found[key] for key in known if key in found}


def text(value: object, name: str, *, where: str = "", most: int = MAX_TEXT) -> str:
    """Return the value as text that UTF-8 can encode, within the limit."""
    if not isinstance(value, str):
        raise decode_error(f"{name} must be a string, not {_kind(value)}", where=where)
    if len(value) > most:
        limit = f"{name[:MAX_ID]} of {len(value)} characters: at most {most}"
        raise decode_error(limit, where=where)
    try:
        value.encode()
    except UnicodeEncodeError:
        raise decode_error(f"{name} is not valid Unicode", where=where) from None
    return value


def optional_text(
    params: Mapping[str, object], key: str, *, where: str = "", most: int = MAX_TEXT
) -> str:
    """Return a trimmed text; absent, null and blank are empty."""
    value = params.get(key)
    return "" if value is None else text(value, key, where=where, most=most).strip()


def required_text(
    params: Mapping[str, object],
    key: str,
    complaint: str,
    *,
    where: str = "",
    most: int = MAX_TEXT,
) -> str:
    """Return a trimmed text that is not empty; else raise the complaint."""
    value = optional_text(params, key, where=where, most=most)
    if not value:
        raise InvalidMutationError(complaint)
    return value


def required_id(
    params: Mapping[str, object], key: str, complaint: str, *, where: str = ""
) -> str:
    """Return a trimmed id with visible characters only; else raise."""
    value = required_text(params, key, complaint, where=where, most=MAX_ID)
    if not is_visible(value):
        raise decode_error(f"{key} holds characters that cannot be shown", where=where)
    return value


def texts(params: Mapping[str, object], key: str, *, where: str = "") -> tuple[str, ...]:
    """Return a list of trimmed texts, without blank ones; absent and null are empty."""
    value = params.get(key)
    if value is None:
        return ()
    if not isinstance(value, list):
        raise decode_error(f"{key} must be a list, not {_kind(value)}", where=where)
    name = f"an item of {key}"
    items = (text(item, name, where=where, most=MAX_ID).strip() for item in value)
    return tuple(filter(None, items))


def storable(value: object, name: str, depth: int = MAX_DEPTH) -> object:
    """Return the value if TOML can store it: no null, no NaN, 64 bits, limited depth."""
    if depth == 0:
        raise decode_error(f"{name} is nested too deeply")
    match value:
        case bool():
            return value
        case int():
            return _int64(value, name)
        case str():
            return text(value, name)
        case float() if math.isfinite(value):
            return value
        case list():
            return [storable(item, name, depth - 1) for item in value]
        case dict():
            json_object(value, name)
            return {k: storable(v, f"{name}.{k}", depth - 1) for k, v in value.items()}
        case _:
            raise decode_error(f"{name} holds {_kind(value)}, which a file cannot keep")


def _int64(value: int, name: str) -> int:
    if not -(2**63) <= value < 2**63:
        raise decode_error(f"{name} holds an integer beyond 64 bits")
    return value


def _kind(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "a list"
        case _:
            return "an object"
