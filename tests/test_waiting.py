"""How tests wait: for what happens, and bounded by one constant, never for some time."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
POLLS = ("support/polling.py", "support/leftovers.py", "support/test_leftovers.py")
EXEMPT = ("soak", "bench", "fuzz", "bare")
"""Scripts that take and measure their time, which `make test` does not run."""


WAITS = ("fail_after", "settimeout", "sleep")


def _calls(file: Path) -> Iterator[tuple[str, ast.Call]]:
    text = file.read_text()
    if not any(wait in text for wait in WAITS):
        return
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if (
                name in WAITS
            ):
                yield name, node


@cache
def _waits() -> list[tuple[Path, str, ast.Call]]:
    """Return every call that waits, with where it is and its name."""
    found = sorted(TESTS.rglob("*.py"))
    files = [file for file in found if file.relative_to(TESTS).parts[0] not in EXEMPT]
    return [(file, *call) for file in files for call in _calls(file)]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fail_after", "settimeout"])
def test_every_bound_of_a_hang_is_the_same(name: str) -> None:
    """A number that suits a quiet machine makes a test fail on a busy one."""
    own = [
        f"{file.relative_to(TESTS)}:{call.lineno}"
        for file, called, call in _waits()
        if called == name and isinstance(call.args[0], ast.Constant)
    ]
    assert own == [], "use HANG_SECONDS of tests/support/deadlines.py"


def test_no_test_sleeps_until_something_has_happened() -> None:
    """It waits for it; a sleep that stands for time itself is marked `# passes time`."""
    asleep = [
        f"{file.relative_to(TESTS)}:{call.lineno}"
        for file, called, call in _waits()
        if str(file.relative_to(TESTS)) not in POLLS
        if called == "sleep" and isinstance(call.args[0], ast.Constant)
        if "passes time" not in file.read_text().splitlines()[call.lineno - 1]
    ]
    assert asleep == [], "wait for an event, or use tests/support/polling.py"
