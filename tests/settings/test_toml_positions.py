"""The positions of keys in a text."""

import tomllib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rensei_daemon.settings.toml_positions import (
    KeyPath,
    Positions,
    Statement,
    statements_of,
)

TEXT = '''\
# head
top = 1
"quoted key" . 'x y' = "a # [b]"
[table]  # note
  number = 2026-11-23T16:00:00Z # = 3
multi = """
[not.a.table]
x = 1 \\""" more
"""
literal = \'\'\'it's
y = 2\'\'\'\'
array = [ # one
  1, [2, { deep = 3 }],
  "]",
]
inline = { a.b = 1, "c" = [ { d = "}" } ] }
[[list]]
name = 1
[list.sub]
k = 1
[[list]]
name = 2
[list.sub]
k = 2
[[list.inner]]
z = 1
[[list.inner]]
z = 2
["we\\u0069rd"]
end = 1
'''


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (("top",), (2, 1)),
        (("quoted key",), (3, 1)),
        (("quoted key", "x y"), (3, 16)),
        (("table",), (4, 1)),
        (("table", "number"), (5, 3)),
        (("table", "multi"), (6, 1)),
        (("table", "literal"), (10, 1)),
        (("table", "array", 0), (13, 3)),
        (("table", "array", 1, 1, "deep"), (13, 12)),
        (("table", "array", 2), (14, 3)),
        (("table", "inline", "a", "b"), (16, 14)),
        (("table", "inline", "c", 0, "d"), (16, 31)),
        (("list", 0, "name"), (18, 1)),
        (("list", 0, "sub", "k"), (20, 1)),
        (("list", 1), (21, 1)),
        (("list", 1, "sub", "k"), (24, 1)),
        (("list", 1, "inner", 1, "z"), (28, 1)),
        (("weird", "end"), (30, 1)),
        (("table", "array", 1, 7, "x"), (13, 6)),
        (("list",), (21, 1)),
        (("nowhere", "at all"), (1, 1)),
        ((), (1, 1)),
    ],
)
def test_find(path: KeyPath, expected: tuple[int, int]) -> None:
    """A key is found in every spelling, else its nearest parent, else the top."""
    tomllib.loads(TEXT)
    assert Positions(TEXT).find(path) == expected


def leaves(tree: object, path: KeyPath = ()) -> Iterator[KeyPath]:
    """Return every key path of a tree."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield (*path, key)
            yield from leaves(value, (*path, key))
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            yield (*path, index)
            yield from leaves(value, (*path, index))


def test_everything_is_found() -> None:
    """Every key the parser knows has a position of its own."""
    top = (1, 1)
    for path in leaves(tomllib.loads(TEXT)):
        assert Positions(TEXT).find(path) != top, path


def test_broken_key() -> None:
    """At a key that cannot be read the scanner stops, and keeps what it has."""
    positions = Positions('a = 1\n"\\1" = 2\nb = 3\n')
    assert positions.find(("a",)) == (1, 1)
    assert positions.find(("b",)) == (1, 1)


def test_statements_after_an_error_are_found() -> None:
    """A line that is not TOML hides no header below it, and a broken header counts."""
    text = "[a]\njunk\nb = [1, '\n]\n  [c]\n [d\n"
    assert statements_of(text) == [
        Statement(("a",), 0, 4, is_header=True),
        Statement(("c",), 23, 27, is_header=True),
        Statement(("?",), 28, 31, is_header=True),
    ]


@pytest.mark.parametrize("text", ["a = ]\nb = {}]\n", "a = 1,\n"])
def test_a_stray_bracket(text: str) -> None:
    """A bracket or comma that belongs to nothing ends the search."""
    assert Positions(text).find(("a",)) == (1, 1)


@given(st.text(alphabet="[]{}=.,#'\"\\\n ab1", max_size=40))
def test_any_text_ends(text: str) -> None:
    """Whatever the text, the scanner stops and answers."""
    line, column = Positions(text).find(("a", "b"))
    assert line >= 1
    assert column >= 1
