"""Every regular expression takes linear time on the worst text."""

import ast
import importlib
import pkgutil
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import rensei_daemon

LENGTH = 16 * 1024
SECONDS = 0.1
"""Of processor time. A linear pattern takes 25 ms at most; a quadratic one, 300 ms."""
TRIES = 3
"""On a busy machine a linear one may take so long too, once."""

METHODS = frozenset(("search", "sub", "split", "findall", "finditer", "match", "fullmatch"))

PARTS = (
    "a", "A1", " ", "\t", "\n", " \n", "0", "1_", "1d", "-", "_", ".", "a.", ",", "a,", "=",
    "a=", "a = ", ":", "a:", "::", "/", "//", "://", "a://", "a:b", "@", "a@", "a:b@",
    "git@", "ssh://a", "?", "a?b", "#", "# ", "&a", ";", "\\", "\\a", '"', "'", '"""',
    '\\"', "[", "[[", "]", "[a", "[a]", "[a.", "{", "}", "{a={", "(", "eyJ", "eyJa.",
    "eyJ.", "%", "$", "rsk_live_", "rsk_live_a", "a/b+", "a/a;", "`", "paths", "[paths",
    "\u00e9", "\u0661", "\u2028", " (at line 1",
)  # fmt: skip


def uses() -> Iterator[tuple[str, re.Pattern[str], str]]:
    """Return each pattern and the way it is used, but those for an operator's own words.

    A pattern that is only ever matched from the start may be quadratic to search for.
    """
    for found in pkgutil.walk_packages(rensei_daemon.__path__, "rensei_daemon."):
        if re.search(r"\.(cli|__main__)", found.name):
            continue
        module = importlib.import_module(found.name)
        if not any(isinstance(value, re.Pattern) for value in vars(module).values()):
            continue
        tree = ast.parse(Path(str(module.__file__)).read_text())
        for node in ast.walk(tree):
            if not isinstance(node, ast.Attribute) or node.attr not in METHODS:
                continue
            name = node.value.id if isinstance(node.value, ast.Name) else ""
            value = vars(module).get(name)
            if isinstance(value, re.Pattern) and isinstance(value.pattern, str):
                yield f"{found.name}.{name}.{node.attr}", value, node.attr


USES = {name: (pattern, method) for name, pattern, method in uses()}


@pytest.mark.parametrize("name", sorted(USES))
def test_every_pattern_is_linear(name: str) -> None:
    """A long text, with and without an end that does not match, takes linear time."""
    pattern, method = USES[name]
    for part in PARTS:
        text = part * (LENGTH // len(part))
        tries = (_seconds(pattern, method, text) for _ in range(TRIES))
        assert any(seconds < SECONDS for seconds in tries), part


def _seconds(pattern: re.Pattern[str], method: str, text: str) -> float:
    """Return what it takes to use a pattern on a text, and on one that ends otherwise."""
    started = time.thread_time()
    for tried in (text, text + "\x00"):
        match method:
            case "sub":
                pattern.sub("", tried)
            case "finditer":
                list(pattern.finditer(tried))
            case _:
                getattr(pattern, method)(tried)
    return time.thread_time() - started


def test_no_pattern_hides_in_a_function() -> None:
    """Patterns are compiled at module level, where the test above finds them."""
    hidden = []
    for path in Path(rensei_daemon.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id == "re"
                and node.attr in METHODS
            ):
                hidden.append(f"{path.name}:{node.lineno}")
    assert hidden == []
