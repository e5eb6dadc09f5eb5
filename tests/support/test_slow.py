"""What is slow is chosen by its mark, and PostgreSQL is."""

from pathlib import Path

import pytest
from test_skips import run

pytestmark = pytest.mark.slow

TESTS = """
import pytest

@pytest.mark.slow
def test_marked(): pass

@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_on_both(database): pass

def test_quick(): pass
"""


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("slow", ["marked", "on_both[postgresql]"]),
        ("not slow", ["on_both[sqlite]", "quick"]),
    ],
)
def test_chosen(tmp_path: Path, choice: str, expected: list[str]) -> None:
    """A mark in the file counts, and so does the parameter of a test."""
    code, said = run(tmp_path, TESTS, "-pslow", "-v", "-m", choice)
    assert code == 0, said
    passed = [line for line in said.splitlines() if "PASSED" in line]
    assert [line.split("::test_")[1].split()[0] for line in passed] == expected
