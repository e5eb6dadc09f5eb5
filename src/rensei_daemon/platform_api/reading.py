"""How foreign JSON is read: liberally, and without an error that quotes it."""

import json
from datetime import UTC, datetime
from typing import Annotated, Any, TypeGuard, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, WrapValidator
from pydantic.alias_generators import to_camel
from pydantic_core.core_schema import ValidatorFunctionWrapHandler

from rensei_daemon.errors import TransientError

MAX_ID = 512
"""Characters of an id that could be anyone's."""

MAX_DEPTH = 32
"""Nesting of free-form JSON that is kept; every op refuses what is half as deep."""

_T = TypeVar("_T")
_S = TypeVar("_S", bound="Shape")


class Shape(BaseModel):
    """A JSON object of the wire: camelCase keys, no conversions, unknown keys ignored."""

    model_config = ConfigDict(
        alias_generator=to_camel, extra="ignore", strict=True, hide_input_in_errors=True
    )


def _or_none(value: object, handler: ValidatorFunctionWrapHandler) -> Any:
    try:
        return handler(value)
    except ValidationError:
        return None


Maybe = Annotated[_T | None, WrapValidator(_or_none)]
"""A key the platform may leave out or get wrong: either way it is None."""


def parse(shape: type[_S], body: object, what: str) -> _S:
    """Return the body in this shape, or raise `TransientError`: it is not `what`."""
    try:
        return shape.model_validate(body)
    except ValidationError:
        # The cause holds the body, and the body may hold secrets.
        raise TransientError(f"the platform's answer is not {what}") from None


def is_id(value: object) -> TypeGuard[str]:
    """Whether the value can name something: in a file, in a URL, in a database."""
    return (
        isinstance(value, str)
        and 0 < len(value) <= MAX_ID
        and not value.isspace()
        and value.isprintable()
    )


def text(value: object) -> str:
    """Return any JSON as text that UTF-8 can hold; null is empty."""
    if value is None:
        return ""
    if not isinstance(value, str):
        value = json.dumps(pruned(value))
    return value.encode(errors="replace").decode()


def pruned(value: Any, depth: int = MAX_DEPTH) -> Any:
    """Return JSON so shallow that whoever handles it can do so by recursion."""
    if not depth:
        return None
    if isinstance(value, dict):
        return {key: pruned(item, depth - 1) for key, item in value.items()}
    if isinstance(value, list):
        return [pruned(item, depth - 1) for item in value]
    return value


def moment(value: str | None) -> datetime | None:
    """Read an ISO 8601 time; one without a zone is UTC, nonsense is None."""
    try:
        found = datetime.fromisoformat(value or "")
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
