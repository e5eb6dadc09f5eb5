"""The model: the classes of `values` as pydantic knows them, which says what is wrong.

Every key, with its type, default and rule, is described in `values`; nothing is added here
but the strictness of pydantic: a table is immutable, has no unknown keys, and does not show
its input in errors. Import these classes from `model`.
"""

from datetime import datetime
from functools import cache
from types import GenericAlias, UnionType
from typing import Annotated, Any, Union, cast, get_args, get_origin

import pydantic
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    StrictBool,
    create_model,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from rensei_daemon.fast_dataclass import UNSET, Field, fields_of
from rensei_daemon.settings import values


class Section(BaseModel):
    """A table of the file.

    Only `Settings` is ever validated, so the validators of single tables are not built.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, defer_build=True
    )


class _File(BaseSettings):
    """The whole file; in force, with what command line and environment set above it."""

    # Names are case-sensitive: `[Platform]` is an unknown table.
    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, case_sensitive=True
    )


def _no_bool(value: object) -> object:
    """Refuse true and false, which Python takes for 1 and 0."""
    if isinstance(value, bool):
        raise ValueError("must be a number")
    return value


_STRICT: dict[Any, Any] = {
    bool: StrictBool,
    datetime: AwareDatetime,
    int: Annotated[int, BeforeValidator(_no_bool)],
    float: Annotated[float, BeforeValidator(_no_bool)],
}


@cache
def model_of(kind: type) -> type[BaseModel]:
    """Return the model of a class of `values`."""
    members: dict[str, Any] = {
        name: (_annotation(kind.__annotations__[name]), _default(each))
        for name, each in (fields_of(kind) or {}).items()
    }
    base = _File if kind is values.Settings else Section
    return create_model(kind.__name__, __base__=base, __doc__=kind.__doc__, **members)


def _default(each: Field) -> Any:
    if not each.has_default:
        return ...
    if each.default_factory is UNSET:
        return each.default
    if fields_of(each.default_factory) is None:
        return pydantic.Field(default_factory=each.default_factory)
    # An empty table, made without the table's own validator.
    return pydantic.Field(default_factory=model_of(each.default_factory).model_construct)


def _annotation(kind: Any) -> Any:
    """Return what pydantic knows an annotation of `values` by."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        rules = map(AfterValidator, arguments[1:])
        return Annotated[(_annotation(arguments[0]), *rules)]
    if origin in (UnionType, Union):  # X | None
        return _annotation(arguments[0]) | None
    if origin is tuple:
        return GenericAlias(tuple, (_annotation(arguments[0]), ...))
    if origin is dict:
        return GenericAlias(dict, tuple(map(_annotation, arguments)))
    if fields_of(kind) is not None:
        return model_of(kind)
    return _STRICT.get(kind, kind)


Settings = cast("type[BaseSettings]", model_of(values.Settings))
