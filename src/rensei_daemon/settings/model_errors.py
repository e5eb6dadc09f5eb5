"""Describes what the model rejects: the key, its place, and the probable name."""

from collections.abc import Iterator
from typing import Any, get_args, get_origin

from rensei_daemon.core.spelling import nearest
from rensei_daemon.settings.model import (
    BaseModel,
    ErrorDetails,
    Settings,
    ValidationError,
)
from rensei_daemon.settings.problems import KeyPath, ValidationProblem, dotted


def validation_problems(
    error: ValidationError, *, with_missing: bool = True
) -> Iterator[ValidationProblem]:
    """Yield each rejected or missing key, with a sentence about it."""
    for detail in error.errors(include_input=False, include_url=False):
        if with_missing or detail["type"] != "missing":
            yield _refusal(detail)


def _refusal(detail: ErrorDetails) -> ValidationProblem:
    path = detail["loc"]
    if detail["type"] == "extra_forbidden":
        return _unknown(path)
    if path[-1:] == ("[key]",):
        return _unknown(path[:-1])
    if detail["type"] == "missing":
        lack = f'{_table(path[:-1])} lacks the key "{path[-1]}"'
        return ValidationProblem(path[:-1], lack)
    return ValidationProblem(path, f"{dotted(path)}: {_sentence(detail)}")


_SENTENCES = {
    "string_type": "must be a text, in quotes",
    "path_type": "must be a path: a text, in quotes",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a smaller number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "bool_type": "must be true or false, without quotes",
    "model_type": "must be a table",
    "dict_type": "must be a table",
    "datetime_type": "must be a date and time, like 2026-11-23T16:00:00Z",
    "datetime_parsing": "must be a date and time, like 2026-11-23T16:00:00Z",
    "datetime_from_date_parsing": "must be a date and time, like 2026-11-23T16:00:00Z",
    "timezone_aware": "must have a time zone, like 2026-11-23T16:00:00Z",
    "literal_error": "must be one of {expected}",
}
"""Messages by pydantic's names of errors."""


def _sentence(detail: ErrorDetails) -> str:
    if detail["type"] == "tuple_type":
        return f"must be a list of {_elements(detail['loc'])}"
    if sentence := _SENTENCES.get(detail["type"]):
        return sentence.format(**_context(detail))
    text = detail["msg"].removeprefix("Value error, ")
    return text[:1].lower() + text[1:]


def _context(detail: ErrorDetails) -> dict[str, Any]:
    context = dict(detail.get("ctx", {}))
    expected = str(context.get("expected", ""))
    # As it is written in TOML.
    context["expected"] = expected.replace("'", '"').replace(" or ", ", ")
    return context


def _elements(path: KeyPath) -> str:
    """Return the item type of the list at `path`."""
    annotation: Any = Settings
    for part in path:
        annotation = _below(_model(annotation), part)
    element = _below(_model(annotation), 0)
    is_table = isinstance(element, type) and issubclass(element, BaseModel)
    return f"tables, as in [[{dotted(path)}]]" if is_table else "texts, each in quotes"


def _unknown(path: KeyPath) -> ValidationProblem:
    parent, key = path[:-1], str(path[-1])
    hint = nearest(key, known_keys(parent))
    return ValidationProblem(path, f'unknown key "{key}" {_within(parent)}', hint)


def _within(path: KeyPath) -> str:
    return f"in {_table(path)}" if path else "at the top level"


def _table(path: KeyPath) -> str:
    return f"[{dotted(path)}]"


def known_keys(path: KeyPath) -> tuple[str, ...]:
    """Return the allowed keys of the table at `path`; None if any key is allowed."""
    annotation: Any = Settings
    for part in path:
        annotation = _below(_model(annotation), part)
    annotation = _model(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return tuple(annotation.model_fields)
    if get_origin(annotation) is dict:
        return tuple(str(name) for name in get_args(get_args(annotation)[0]))
    return ()


def _below(annotation: Any, part: str | int) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        field = annotation.model_fields.get(str(part))
        return field.annotation if field else None
    arguments = get_args(annotation)
    if get_origin(annotation) is dict:
        return arguments[1]
    return arguments[0] if arguments else None


def _model(annotation: Any) -> Any:
    """Return X for `X | None`."""
    arguments = get_args(annotation)
    if type(None) in arguments:
        return next(choice for choice in arguments if choice is not type(None))
    return annotation
