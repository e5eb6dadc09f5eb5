"""Builds the frozen values of `values` from plain tables.

The tables come from the parsed text, from the validated model, or from JSON that another
process made of it. A table fits only if it is exactly of the shape that its class says, and
breaks no rule; of everything else the model decides, and says what is wrong.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, cast, get_args, get_origin

from rensei_daemon.fast_dataclass import names_of
from rensei_daemon.settings.values import Settings

_T = TypeVar("_T")
_Convert = Callable[[Any], Any]


class UnfitError(Exception):
    """A table is not exactly what its class says; the model has to look at it."""


def build(kind: type[_T], table: Mapping[str, Any]) -> _T:
    """Return the value of a class of `values`; raise `UnfitError` for another shape."""
    convert: Callable[[Mapping[str, Any]], _T] = _converter(cast("Any", kind))
    return convert(table)


@cache
def _converter(kind: Any) -> _Convert:
    """Return what makes a value of an annotation, or raises `UnfitError`."""
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any:
        return lambda value: value
    if origin is Annotated:
        return _ruled(_converter(arguments[0]), arguments[1:])
    if origin in (UnionType, Union):  # X | None
        return _optional(_converter(arguments[0]))
    if origin is tuple:
        return _list_of(_converter(arguments[0]))
    if origin is dict:
        return _table_of(*map(_converter, arguments))
    if origin is Literal:
        return _one_of(frozenset(arguments))
    if kind in _SCALARS:
        return _SCALARS[kind]
    return _instance_of(kind)


def _ruled(convert: _Convert, rules: Sequence[_Convert]) -> _Convert:
    def made(value: Any) -> Any:
        value = convert(value)
        try:
            for rule in rules:
                value = rule(value)
        except ValueError:
            raise UnfitError from None
        return value

    return made


def _optional(convert: _Convert) -> _Convert:
    return lambda value: None if value is None else convert(value)


def _list_of(convert: _Convert) -> _Convert:
    def made(value: Any) -> Any:
        if type(value) not in (list, tuple):
            raise UnfitError
        return tuple(map(convert, value))

    return made


def _table_of(key: _Convert, convert: _Convert) -> _Convert:
    def made(value: Any) -> Any:
        if type(value) is not dict:
            raise UnfitError
        return {key(name): convert(item) for name, item in value.items()}

    return made


def _one_of(allowed: frozenset[str]) -> _Convert:
    def made(value: Any) -> Any:
        if _string(value) not in allowed:
            raise UnfitError
        return value

    return made


def _instance_of(kind: Any) -> _Convert:
    members = {name: _converter(hint) for name, hint in kind.__annotations__.items()}

    def made(table: Any) -> Any:
        if type(table) is not dict or not table.keys() <= members.keys():
            raise UnfitError
        values = {name: members[name](value) for name, value in table.items()}
        try:
            return kind(**values)
        except TypeError:  # a key without a default is missing
            raise UnfitError from None

    return made


def _exactly(kind: type) -> _Convert:
    def made(value: Any) -> Any:
        if type(value) is not kind:
            raise UnfitError
        return value

    return made


_string = _exactly(str)


def _number(value: Any) -> Any:
    if type(value) not in (float, int):
        raise UnfitError
    try:
        return float(value)
    except OverflowError:
        raise UnfitError from None


def _moment(value: Any) -> Any:
    if type(value) is not datetime or value.tzinfo is None:
        raise UnfitError
    return value


def _path(value: Any) -> Any:
    return value if isinstance(value, Path) else Path(_string(value))


_SCALARS: Mapping[Any, _Convert] = {
    str: _string,
    bool: _exactly(bool),
    int: _exactly(int),
    float: _number,
    Path: _path,
    datetime: _moment,
}


def plain(value: Any) -> Any:
    """Return a value of `values` as tables, lists, texts and numbers, as JSON has them.

    `settings_of` turns what JSON makes of it back.
    """
    if (names := names_of(value)) is not None:
        return {name: plain(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, Path) else value


def settings_of(table: dict[str, Any]) -> Settings:
    """Return the settings that `plain` made a table of; raise `UnfitError`.

    Every key has to be there: another version of the program may have made the table.
    """
    pool, made_of = table.get("pool"), table
    if type(pool) is dict and isinstance(since := pool.get("since"), str):
        made_of = {**table, "pool": {**pool, "since": datetime.fromisoformat(since)}}
    settings = build(Settings, made_of)
    if plain(settings) != table:
        raise UnfitError
    return settings
