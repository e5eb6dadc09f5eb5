"""Reads fields of foreign JSON liberally; no error quotes the JSON."""

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeGuard

from rensei_daemon.core.escaping import is_visible
from rensei_daemon.errors import TransientError
from rensei_daemon.fast_dataclass import dataclass, field

MAX_ID = 512
"""Characters of an id."""

MAX_DEPTH = 32
"""Nesting of free-form JSON that is kept; every op refuses half as much."""


@dataclass(frozen=True, slots=True)
class JsonFields:
    """A JSON object; a field of the wrong type counts as absent."""

    raw: Mapping[str, Any] = field(repr=False)

    def text(self, key: str) -> str:
        """Return a text; empty if absent."""
        found = self.raw.get(key)
        return found if isinstance(found, str) else ""

    def number(self, key: str) -> float | None:
        """Return a finite number; None if absent, or a boolean."""
        found = self.raw.get(key)
        if isinstance(found, bool) or not isinstance(found, int | float):
            return None
        try:
            number = float(found)
        except OverflowError:
            return None
        return number if math.isfinite(number) else None

    def version(self, key: str) -> int | None:
        """Return a version of values: a whole number below 2**63, not negative."""
        found = self.raw.get(key)
        if isinstance(found, bool) or not isinstance(found, int):
            return None
        return found if 0 <= found < 2**63 else None

    def items(self, key: str) -> list[Any]:
        """Return a list of anything; empty if absent."""
        found = self.raw.get(key)
        return found if isinstance(found, list) else []

    def fields(self, key: str) -> "JsonFields | None":
        """Return a nested object."""
        found = self.raw.get(key)
        return JsonFields(found) if isinstance(found, dict) else None


def fields(body: object, what: str) -> JsonFields:
    """Return the body as an object; raise `TransientError` if it is none.

    `what` names the expected response.
    """
    if not isinstance(body, dict):
        raise unexpected_shape(what)
    return JsonFields(body)


def unexpected_shape(what: str) -> TransientError:
    """Return the error for an unexpected response, without quoting it."""
    return TransientError(f"the platform's answer is not {what}")


def is_id(value: object) -> TypeGuard[str]:
    """Whether the value can be used as an id in a file, a URL and a database."""
    return (
        isinstance(value, str)
        and 0 < len(value) <= MAX_ID
        and not value.isspace()
        and is_visible(value)
    )


def text(value: object) -> str:
    """Return any JSON as valid UTF-8 text; null is empty."""
    if value is None:
        return ""
    if not isinstance(value, str):
        value = json.dumps(pruned(value))
    return value.encode(errors="replace").decode()


def pruned(value: Any, depth: int = MAX_DEPTH) -> Any:
    """Return the JSON cut off at a depth that is safe for recursion."""
    if not depth:
        return None
    if isinstance(value, dict):
        return {key: pruned(item, depth - 1) for key, item in value.items()}
    if isinstance(value, list):
        return [pruned(item, depth - 1) for item in value]
    return value


def timestamp(value: str | None) -> datetime | None:
    """Read an ISO 8601 time, in UTC if it names no zone; None if malformed."""
    try:
        found = datetime.fromisoformat(value or "")
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
