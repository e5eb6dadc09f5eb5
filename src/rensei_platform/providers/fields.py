"""From the fields a provider has to the environment variables a binding wants."""

import json
import re
from collections.abc import Mapping
from typing import Any

from rensei_platform.errors import InvalidRequestError
from rensei_platform.providers.base import BadAnswerError, SecretNotFoundError

MOST_NAMES = 500
MOST_NAME_LENGTH = 256
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


def is_variable(name: str) -> bool:
    """Whether an environment variable can have this name."""
    return len(name) <= MOST_NAME_LENGTH and _NAME.fullmatch(name) is not None


def check_names(names: Mapping[str, str]) -> None:
    """Raise InvalidRequestError unless this maps variables to fields."""
    if len(names) > MOST_NAMES:
        raise InvalidRequestError(f"names: at most {MOST_NAMES}")
    for name, wanted in names.items():
        if not is_variable(name):
            raise InvalidRequestError("names: a key is not the name of a variable")
        if not 0 < len(wanted) <= MOST_NAME_LENGTH or not wanted.isprintable():
            raise InvalidRequestError(f"names: the field of {name} is empty or malformed")


def parse_json(text: bytes) -> Any:
    """Return what the JSON in `text` says. Raise BadAnswerError without quoting it."""
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise BadAnswerError("the answer is not JSON") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the members; of two with one name nobody knows which is meant."""
    members = dict(pairs)
    if len(members) < len(pairs):
        raise BadAnswerError("the answer names a field twice")
    return members


def _refuse(constant: str) -> Any:
    """Raise ValueError for NaN and Infinity, which are not JSON."""
    raise ValueError(constant)


def parse_fields(text: bytes) -> dict[str, Any]:
    """Return the JSON object in `text`. Raise BadAnswerError without quoting it."""
    parsed = parse_json(text)
    if not isinstance(parsed, dict):
        raise BadAnswerError("the answer is not a JSON object")
    return parsed


def select(fields: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, str]:
    """Return the values that `names` asks for; without names, all of them.

    Raise SecretNotFoundError if a field is missing, BadAnswerError if one is not text.
    """
    wanted = names or {field: field for field in fields}
    missing = sorted(set(wanted.values()) - fields.keys())
    if missing:
        raise SecretNotFoundError(f"there is no field {missing[0]!r} at the path")
    if not wanted:
        raise SecretNotFoundError("there is no field at the path")
    return {name: _text(field, fields[field]) for name, field in wanted.items()}


def _text(field: str, value: object) -> str:
    """Return a scalar as JSON spells it: a port that was stored as a number is text too."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    raise BadAnswerError(
        f"the field {_quoted(field)} is not text",
        hint="Bind the fields that are text by name: --map NAME=FIELD.",
    )


def check_values(values: object, most_bytes: int) -> dict[str, str]:
    """Return what may be stored and delivered. Raise BadAnswerError for anything else."""
    if not isinstance(values, Mapping):
        raise BadAnswerError("the answer is not a mapping of names to text")
    size = 0
    for name, value in values.items():
        if not isinstance(name, str) or not is_variable(name):
            raise BadAnswerError(
                f"{_quoted(name)} is not the name of a variable",
                hint="Bind fields to variables by name: --map NAME=FIELD.",
            )
        size += len(name) + _size(name, value)
    if size > most_bytes or len(values) > MOST_NAMES:
        raise BadAnswerError(f"more than {most_bytes} bytes or {MOST_NAMES} values")
    return dict(values)


def _size(name: str, value: object) -> int:
    try:
        if isinstance(value, str) and "\0" not in value:
            return len(value.encode())
    except UnicodeEncodeError:
        pass
    raise BadAnswerError(f"the value of {name} is not text that a variable can hold")


def _quoted(name: object) -> str:
    return ascii(str(name)[:64])
