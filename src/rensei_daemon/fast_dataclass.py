"""Data classes like those of `dataclasses`, made several times faster.

The standard library compiles up to six functions for every class, and imports `inspect`
for it. The daemon starts with 124 such classes. Here one function is compiled, `__init__`,
for the first value of a class, and the others are shared. As many frozen classes with
slots and four fields take, in processor time on one machine:

- 2.5 ms here, and 9 once each has a value;
- 50 ms with the standard library;
- 43 ms with attrs, whose import takes 13 ms more than this module's;
- 1.3 ms with msgspec, whose import takes 4 ms more: it is as fast, but one more compiled
  package on every host, whose values the standard library's functions do not know.

Type checkers see the standard library's names, whose rules hold, with these limits:

- only the parameters below, and no base that is a data class itself;
- every annotation of the class is a field: no `ClassVar`, no `InitVar`;
- a value that contains itself has no `repr`.

`asdict`, `fields` and `is_dataclass` of the standard library work on these classes.
"""

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

if TYPE_CHECKING:
    from dataclasses import dataclass, field, replace

__all__ = ["UNSET", "Field", "dataclass", "field", "fields_of", "names_of", "replace"]

UNSET: Any = object()


class Field(NamedTuple):
    """How a field begins: with a default, what a factory makes, or what is given."""

    default: Any = UNSET
    default_factory: Callable[[], Any] = UNSET
    init: bool = True
    repr: bool = True

    @property
    def has_default(self) -> bool:
        """Whether a value need not be given."""
        return self.default is not UNSET or self.default_factory is not UNSET


def _field(**options: Any) -> Any:
    return Field(**options)


def _dataclass(
    cls: type | None = None,
    *,
    frozen: bool = False,
    slots: bool = False,
    kw_only: bool = False,
) -> Any:
    if cls is None:
        return lambda cls: _made(cls, frozen, slots, kw_only)
    return _made(cls, frozen, slots, kw_only)


def _replace(value: Any, /, **changes: Any) -> Any:
    for name in value.__replaceable__:
        if name not in changes:
            changes[name] = getattr(value, name)
    return type(value)(**changes)


def names_of(value: object) -> tuple[str, ...] | None:
    """Return the names of a value's fields; None if its class is none of these.

    For values that are described often: the standard library's `fields` would first make
    a class of its own.
    """
    found: tuple[str, ...] | None = getattr(type(value), "__field_names__", None)
    return found


def fields_of(kind: object) -> Mapping[str, Field] | None:
    """Return the fields of a class; None if it is none of these."""
    found: Mapping[str, Field] | None = getattr(kind, "__fields_by_name__", None)
    return found


if not TYPE_CHECKING:
    dataclass, field, replace = _dataclass, _field, _replace


def _made(cls: type, frozen: bool, slots: bool, kw_only: bool) -> type:
    own = dict(cls.__dict__)
    fields = {name: _as_field(own.get(name, UNSET)) for name in cls.__annotations__}
    made = _members(cls, fields, frozen, kw_only)
    made |= {name: own[name] for name in ("__eq__", "__repr__") if name in own}
    if slots:
        # A class cannot get slots later, so another one is made in its place.
        for name in (*fields, "__dict__", "__weakref__"):
            own.pop(name, None)
        made |= {"__slots__": tuple(fields), "__qualname__": cls.__qualname__}
        return type(cls)(cls.__name__, cls.__bases__, {**own, **made})
    for name in own.keys() & fields.keys():
        delattr(cls, name)  # a default, which `__init__` has
    for name, member in made.items():
        setattr(cls, name, member)
    return cls


def _members(
    cls: type, fields: Mapping[str, Field], frozen: bool, kw_only: bool
) -> dict[str, Any]:
    """Return what a data class has beside what its body says."""
    inits = tuple(name for name, each in fields.items() if each.init)
    values = _values_of(tuple(fields))
    members = {
        "__init__": _init_of(cls, fields, frozen, kw_only),
        "__match_args__": () if kw_only else inits,
        "__replaceable__": inits,
        "__field_names__": tuple(fields),
        "__fields_by_name__": fields,
        "__dataclass_fields__": _StandardFields(fields),
        "__repr__": _repr_of([name for name, each in fields.items() if each.repr]),
        "__eq__": _equality_of(values),
        "__hash__": _hash_of(values) if frozen else None,
    }
    return members | ({"__setattr__": _refuse, "__delattr__": _refuse} if frozen else {})


def _as_field(value: Any) -> Field:
    return value if isinstance(value, Field) else Field(default=value)


def _init_of(
    cls: type, fields: Mapping[str, Field], frozen: bool, kw_only: bool
) -> Callable[..., None]:
    """Return an `__init__` that puts a compiled one in its place when it is called.

    Most classes have no value before the daemon is ready, and some never get one.
    """
    named = {"__qualname__": f"{cls.__qualname__}.__init__", "__module__": cls.__module__}
    is_followed = hasattr(cls, "__post_init__")

    def init(self: Any, *args: Any, **options: Any) -> None:
        compiled = _compiled_init(fields, frozen, kw_only, is_followed)
        for name, value in named.items():
            setattr(compiled, name, value)
        for owner in type(self).__mro__:
            if owner.__dict__.get("__init__") is init:
                setattr(owner, "__init__", compiled)  # noqa: B010 - the checker forbids it
        compiled(self, *args, **options)

    return init


def _compiled_init(
    fields: Mapping[str, Field], frozen: bool, kw_only: bool, is_followed: bool
) -> Callable[..., None]:
    """Compile `__init__`: a parameter for each field, and an assignment for each.

    `is_followed`: by `__post_init__`.
    """
    known: dict[str, Any] = {"UNSET": UNSET, "_set": object.__setattr__}
    parameters, body = ["self", *(["*"] if kw_only else [])], []
    for name, each in fields.items():
        known |= {f"_default_{name}": each.default, f"_make_{name}": each.default_factory}
        parameter, value = _text_of(name, each)
        parameters += [parameter] if parameter else []
        if value:
            body.append(
                f"_set(self, {name!r}, {value})" if frozen else f"self.{name} = {value}"
            )
    if is_followed:
        body.append("self.__post_init__()")
    text = f"def __init__({', '.join(parameters)}):\n " + "\n ".join(body or ["pass"])
    exec(text, known)  # noqa: S102 - the names of fields, as `dataclasses` does
    compiled: Callable[..., None] = known["__init__"]
    return compiled


def _text_of(name: str, each: Field) -> tuple[str, str]:
    """Return a field's parameter and what it is set to; empty where there is none."""
    default = f"_default_{name}"
    if each.default_factory is not UNSET:
        made = f"_make_{name}()"
        if not each.init:
            return "", made
        return f"{name}=UNSET", f"{made} if {name} is UNSET else {name}"
    if each.init:
        return f"{name}={default}" if each.has_default else name, name
    return "", default if each.has_default else ""  # else __post_init__ sets it


def _values_of(names: tuple[str, ...]) -> Callable[[Any], tuple[Any, ...]]:
    if len(names) > 1:
        return attrgetter(*names)  # a tuple, made in C
    return lambda value: tuple(getattr(value, name) for name in names)


def _equality_of(values: Callable[[Any], object]) -> Callable[[Any, Any], Any]:
    def equal(self: Any, other: Any) -> Any:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return values(self) == values(other)

    return equal


def _hash_of(values: Callable[[Any], object]) -> Callable[[Any], int]:
    return lambda self: hash(values(self))


def _repr_of(names: list[str]) -> Callable[[Any], str]:
    def shown(self: Any) -> str:
        inner = ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
        return f"{type(self).__qualname__}({inner})"

    return shown


def _refuse(self: object, name: str, *_: object) -> NoReturn:
    from dataclasses import FrozenInstanceError

    raise FrozenInstanceError(f"cannot change field {name!r} of {type(self).__name__}")


class _StandardFields:
    """The fields as the standard library describes them, made when it asks for them."""

    def __init__(self, fields: Mapping[str, Field]) -> None:
        self._fields = fields

    def __get__(self, _: object, owner: type) -> Any:
        from dataclasses import field, make_dataclass

        described = [
            (name, Any, field(init=each.init, repr=each.repr))
            for name, each in self._fields.items()
        ]
        standard: Any = make_dataclass(owner.__name__, described, kw_only=True)
        known = standard.__dataclass_fields__
        setattr(owner, "__dataclass_fields__", known)  # noqa: B010 - unknown to the checker
        return known
