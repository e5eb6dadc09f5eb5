"""The pages an operator reads say what the program says of itself."""

import re
from collections import defaultdict
from pathlib import Path

import click
import pytest
from commands_page import EXIT_CODES, PAGE, render, walk

from rensei_daemon import errors
from rensei_daemon.cli.root import COMMANDS

README = Path(__file__).parents[2] / "README.md"
CONTEXTS = {context.command_path: context for context in walk()}


def test_the_page_is_what_the_program_says() -> None:
    """A command that changed without its page is brought up to date by `make fix`."""
    assert PAGE.read_text() == render(), (
        "run: .venv-dev/bin/python tests/docs/commands_page.py"
    )


def test_every_exit_code_is_told() -> None:
    """Each error of ours ends in a code that the page explains."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    codes = {kind.exit_code for kind in kinds if issubclass(kind, errors.RenseiError)}
    assert codes - EXIT_CODES.keys() == set()


@pytest.mark.parametrize("path", CONTEXTS)
def test_help_shows_an_example_of_the_command(path: str) -> None:
    """An example teaches faster than a list of options; `-h` is there as well."""
    context = CONTEXTS[path]
    _, example, shown = (context.command.help or "").partition("Example")
    assert example
    assert path in shown
    option = context.command.get_help_option(context)
    assert option is not None
    assert option.opts == ["-h", "--help"]


def test_a_summary_is_read_whole() -> None:
    """The list of commands fits a usual terminal, so no summary is broken or cut."""
    assert max(map(len, COMMANDS.values())) <= 80 - 17


def test_the_readme_names_every_command() -> None:
    """Its table has each command and each command below one, and none that is not."""
    table = README.read_text().partition("## Commands\n")[2].partition("\n\n`install`")[0]
    told: dict[str, set[str]] = defaultdict(set)
    for line in table.splitlines():
        for words in re.findall(r"`([a-z][^`]*)`", line.split(" | ")[0]):
            name, _, rest = words.replace("\\|", "|").partition(" ")
            told[name] |= set(re.findall(r"(?:^|\|)([a-z]+)", rest))
    assert told.keys() == COMMANDS.keys()
    for name in COMMANDS:
        command = CONTEXTS[f"rensei-daemon {name}"].command
        below = set(command.commands) if isinstance(command, click.Group) else set()
        assert (name, told[name]) == (name, below)
