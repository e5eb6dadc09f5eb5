"""How tests wait: for what happens, and bounded by one constant, never for some time."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
POLLS = ("support/polling.py", "support/leftovers.py", "support/test_leftovers.py")
EXEMPT = ("soak", "bench", "fuzz", "bare")
"""Scripts that take and measure their time, which `make test` does not run."""


def _calls(file: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func).rpartition(".")[2], node


def _files() -> list[Path]:
    found = sorted(TESTS.rglob("*.py"))
    return [file for file in found if file.relative_to(TESTS).parts[0] not in EXEMPT]


@pytest.mark.parametrize("name", ["fail_after", "settimeout"])
def test_every_bound_of_a_hang_is_the_same(name: str) -> None:
    """A number that suits a quiet machine makes a test fail on a busy one."""
    own = [
        f"{file.relative_to(TESTS)}:{call.lineno}"
        for file in _files()
        for called, call in _calls(file)
        if called == name and isinstance(call.args[0], ast.Constant)
    ]
    assert own == [], "use HANG_SECONDS of tests/support/deadlines.py"


def test_no_test_sleeps_until_something_has_happened() -> None:
    """It waits for it; a sleep that stands for time itself is marked `# passes time`."""
    asleep = [
        f"{file.relative_to(TESTS)}:{call.lineno}"
        for file in _files()
        if str(file.relative_to(TESTS)) not in POLLS
        for called, call in _calls(file)
        if called == "sleep" and isinstance(call.args[0], ast.Constant)
        if "passes time" not in file.read_text().splitlines()[call.lineno - 1]
    ]
    assert asleep == [], "wait for an event, or use tests/support/polling.py"
