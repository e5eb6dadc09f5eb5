"""JSON from outside: only what can be said again, and read by every version."""

import json
import math
from typing import Any

from rensei_platform.errors import InvalidRequestError
from rensei_platform.rules.fields import Json

MOST_DEPTH = 100
"""Of what is nested in a body: what is stored must be read again."""


def read_object(text: str | bytes, name: str, *, most_depth: int = MOST_DEPTH) -> Json:
    """Return a JSON object. Raise InvalidRequestError, with `name`, if it is none.

    NaN, infinity and numbers that are too large for JSON's readers are refused, and what
    is nested deeper than `most_depth`.
    """
    try:
        found = json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        where = f": {error}" if isinstance(error, json.JSONDecodeError) else ""
        raise InvalidRequestError(f"{name} must be JSON{where}") from None
    if not isinstance(found, dict):
        raise InvalidRequestError(f"{name} must be a JSON object")
    if _opened(text) > most_depth and _is_deeper(found, most_depth):
        raise InvalidRequestError(f"{name} must be nested at most {most_depth} deep")
    return found


def _refuse(constant: str) -> Any:
    raise ValueError(constant)


def _finite(number: str) -> float:
    """Return the number. Raise ValueError for 1e999, which no JSON could say again."""
    value = float(number)
    return value if math.isfinite(value) else _refuse(number)


def _opened(text: str | bytes) -> int:
    """Return how many lists and objects there are at most: cheap."""
    if isinstance(text, str):
        return text.count("{") + text.count("[")
    return text.count(b"{") + text.count(b"[")


def _is_deeper(found: Json, depth: int) -> bool:
    level: list[Any] = [found]
    for _ in range(depth):
        dicts = [node.values() for node in level if isinstance(node, dict)]
        lists = [node for node in level if isinstance(node, list)]
        level = [child for children in (*dicts, *lists) for child in children]
    return any(isinstance(node, dict | list) for node in level)
