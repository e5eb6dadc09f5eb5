"""The fast data classes do what those of the standard library do."""

import dataclasses
import inspect
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from rensei_daemon import fast_dataclass

MODULES = (dataclasses, fast_dataclass)


def point(module: Any, **options: bool) -> Any:
    """Make a class of one library or the other."""

    @module.dataclass(**options)
    class Point:
        """A point."""

        x: int
        secret: str = module.field(default="s", repr=False)
        tags: list[int] = module.field(default_factory=list)
        size: int = module.field(init=False)

        def __post_init__(self) -> None:
            object.__setattr__(self, "size", self.x * 2)

    return Point


def look(kind: Any, module: Any) -> dict[str, Any]:
    """Return all that can be seen of a class and its values."""
    value = kind(x=1)
    other = module.replace(value, x=2)
    seen: dict[str, Any] = {
        "values": [value.x, value.secret, value.tags, value.size],
        "repr": repr(value),
        "replaced": repr(other),
        "equal": [value == kind(x=1), value == other, value == 1],
        "shares no default": value.tags is not kind(x=1).tags,
        "match": kind.__match_args__,
        "fields": [(each.name, each.init, each.repr) for each in dataclasses.fields(kind)],
        "as a dict": dataclasses.asdict(value),
        "slots": getattr(kind, "__slots__", None),
        "names": [kind.__name__, kind.__qualname__, kind.__module__, kind.__doc__],
        "has a dict": hasattr(value, "__dict__"),
        "hashable": kind.__hash__ is not None,
    }
    allowed = []
    with suppress(dataclasses.FrozenInstanceError):
        value.x = 3
        allowed.append("changed")
    with suppress(dataclasses.FrozenInstanceError):
        del value.x
        allowed.append("removed")
    seen["done to it"] = allowed
    return seen


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("slots", [False, True])
@pytest.mark.parametrize("kw_only", [False, True])
def test_a_class_is_what_the_standard_library_makes(
    frozen: bool, slots: bool, kw_only: bool
) -> None:
    """All that can be seen of a class and its values is the same."""
    options = {"frozen": frozen, "slots": slots, "kw_only": kw_only}
    standard, fast = (look(point(each, **options), each) for each in MODULES)
    assert fast == standard


def test_the_names_of_fields_are_known_without_the_standard_library() -> None:
    """Also of those that no argument sets; None of a value that is no data class."""
    value = point(fast_dataclass)(1)
    names = fast_dataclass.names_of(value)
    assert not isinstance(vars(type(value))["__dataclass_fields__"], dict)
    assert names == tuple(each.name for each in dataclasses.fields(value))
    assert fast_dataclass.names_of(1) is None


@pytest.mark.parametrize("slots", [False, True])
def test_init_is_compiled_for_the_first_value(slots: bool) -> None:
    """Not before; then once, for the class that has it and for those below it."""
    kind = point(fast_dataclass, slots=slots)
    derived = type("Derived", (kind,), {"__doc__": "A point."})
    before = kind.__init__
    assert (derived(1).x, kind(x=2).x) == (1, 2)
    compiled = kind.__init__
    assert compiled is not before
    assert "__init__" not in vars(derived)
    assert (derived(3).size, kind(4).size) == (6, 8)
    assert kind.__init__ is compiled
    standard = point(dataclasses, slots=slots).__init__
    for name in ("__name__", "__qualname__", "__module__"):
        assert getattr(compiled, name) == getattr(standard, name)
    assert list(inspect.signature(compiled).parameters) == list(
        inspect.signature(standard).parameters
    )


def tagged(module: Any, name: str) -> Any:
    """Make a frozen class with one field."""
    body = {"__annotations__": {"x": tuple[int, ...]}, "__doc__": "A tag."}
    return module.dataclass(frozen=True, slots=True)(type(name, (), body))


@pytest.mark.parametrize("module", MODULES)
def test_values_of_two_classes_differ(module: Any) -> None:
    """Equal fields are not enough, and equal values have equal hashes."""
    Left, Right = tagged(module, "Left"), tagged(module, "Right")  # noqa: N806 - classes
    assert Left((1,)) == Left((1,))
    assert Left((1,)) != Right((1,))
    assert len({Left((1,)), Left((1,)), Left((2,))}) == 2


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("arguments", [{}, {"x": 1, "y": 2}])
def test_wrong_arguments_are_refused(module: Any, arguments: dict[str, int]) -> None:
    """A missing and an unknown field raise TypeError, in `replace` too."""
    kind = point(module, frozen=True, slots=True)
    with pytest.raises(TypeError):
        kind(**arguments)
    with pytest.raises(TypeError):
        module.replace(kind(1), y=2)


@pytest.mark.parametrize("module", MODULES)
def test_methods_of_the_body_stay(module: Any) -> None:
    """A class may have a `__repr__` of its own."""
    body = {"__annotations__": {"x": int}, "__doc__": "", "__repr__": lambda _: "own"}
    kind = module.dataclass(slots=True)(type("Own", (), body))
    assert repr(kind(1)) == "own"
    assert kind(1) == kind(1)


def test_no_slow_module_is_imported() -> None:
    """Making a class does not need what makes the standard library's slow."""
    code = (
        "import sys; from rensei_daemon.core import table, hints, status;"
        "print({'dataclasses', 'inspect'} & set(sys.modules))"
    )
    command = [sys.executable, "-I", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_every_class_of_the_daemon_is_a_fast_one() -> None:
    """No module takes `dataclass`, `field` or `replace` of the standard library."""
    root = Path(fast_dataclass.__file__).parent
    slow = re.compile(r"^from dataclasses import .*\b(dataclass|field|replace)\b", re.M)
    modules = {path.name for path in root.rglob("*.py") if slow.search(path.read_text())}
    assert modules == set()
