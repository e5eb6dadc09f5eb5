"""Every command that we tell somebody to type exists, with its options.

Looked for in the texts of the program (its string constants, f-strings with their parts
that vary left open), in the code of every document, and in what we package.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from commands_page import PAGE, walk

REPOSITORY = Path(__file__).parents[2]
NAME = "rensei-daemon"
OPEN = "…"
"""What stands for the part of an f-string that is not known here."""

CONTEXTS = {context.command_path: context for context in walk()}
_WORD = r" +[^\s`;,|)>&#\"']+"
_COMMAND = re.compile(
    # Not the middle of another name, nor a directory that is called as we are.
    rf"(.*?)(?<![\w.-])(?<!_HOME/)(?<!_DIR/){NAME}((?= +[a-z-]){_WORD}(?:{_WORD})*)"
)
_OF_SYSTEMD = re.compile(r"\b(systemctl|journalctl)\b[^`;]*$")
_CODE = re.compile(r"```\w*\n(.*?)```|`([^`\n]+)`", re.DOTALL)


def constants(tree: ast.AST, ours: str = NAME) -> Iterator[str]:
    """Yield every text in a module, implicitly joined parts as one; docstrings too.

    `ours` is what the module's constant PROGRAM or NAME stands for.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(_part(value, ours) for value in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _part(node: ast.expr, ours: str) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    assert isinstance(node, ast.FormattedValue)
    is_ours = isinstance(node.value, ast.Name) and node.value.id in ("PROGRAM", "NAME")
    return ours if is_ours else OPEN


def texts() -> Iterator[tuple[str, str]]:
    """Yield (where, text) for all that may tell of a command."""
    for path in sorted((REPOSITORY / "src").rglob("*.py")):
        ours = "rensei-platform" if "rensei_platform" in path.parts else NAME
        for text in constants(ast.parse(path.read_text()), ours):
            yield path.name, text
    pages = {*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").glob("*.md")} - {PAGE}
    for path in sorted(pages):
        for block, code in _CODE.findall(path.read_text()):
            yield path.name, block or code
    for path in sorted((REPOSITORY / "packaging").rglob("*.service")):
        yield path.name, path.read_text()
    yield "config.example.toml", (REPOSITORY / "config.example.toml").read_text()


def told() -> set[tuple[str, str]]:
    """Return every (where, command line) in which words stand behind our program's name."""
    return {
        (where, f"{NAME}{words}")
        for where, text in texts()
        for before, words in _COMMAND.findall(text)
        if not _OF_SYSTEMD.search(before)
    }


def mistake(line: str) -> str | None:
    """Return what is wrong with a command line, as far as it is spelled out."""
    context, is_value = CONTEXTS[NAME], False
    for word in line.split()[1:]:
        command = context.command
        if word == "--":
            break
        if is_value:
            is_value = False
        elif word.startswith("-"):
            option = _option(context, word.partition("=")[0])
            if option is None:
                return f"{context.command_path} has no option {word}"
            is_value = not option.is_flag and "=" not in word
        elif isinstance(command, click.Group) and word != OPEN:
            below = CONTEXTS.get(f"{context.command_path} {word}")
            if below is None:
                return f"{context.command_path} has no command {word}"
            context = below
    return None


def _option(context: click.Context, name: str) -> click.Option | None:
    options = context.command.get_params(context)
    found = (o for o in options if isinstance(o, click.Option) and name in o.opts)
    return next(found, None)


@pytest.mark.slow
def test_every_command_that_is_told_exists() -> None:
    """A hint that cannot be typed is worse than none."""
    lines = told()
    assert ("session_conditions.py", "rensei-daemon logs --session …") in lines
    assert ("errors.py", "rensei-daemon logs -n 50") in lines
    assert ("run.py", "rensei-daemon run --help") in lines
    assert len(lines) > 100
    found = {(where, mistake(line)) for where, line in lines}
    assert {(where, what) for where, what in found if what} == set()


@pytest.mark.parametrize(
    "line",
    ["rensei-daemon statsu", "rensei-daemon logs --lines-of 3", "rensei-daemon config fix"],
)
def test_one_that_does_not_is_found(line: str) -> None:
    """Or else the test above would say nothing."""
    assert mistake(line) is not None
