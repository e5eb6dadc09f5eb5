"""The manual: a page for the program and one for each command, from their own help.

Written where a package is built: `man_pages.py DIRECTORY`. Each page is `man(7)` as plain
as it can be.
"""

import sys
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path

import click
from commands_page import EXIT_CODES, walk

from rensei_daemon import __version__
from rensei_daemon.cli import PROGRAM

FILES = {
    "/etc/rensei-daemon/config.toml": "The configuration; every key is explained in it.",
    "/etc/credstore/rensei-daemon.api-key": "The API key, which systemd hands over.",
    "/var/lib/rensei-daemon": "The record: outcomes, history, identity. No secret.",
    "/run/rensei-daemon": "Sockets and env files.",
}


def pages() -> Iterator[tuple[str, str]]:
    """Yield (file name, text) for each page."""
    for context in walk():
        name = context.command_path.replace(" ", "-")
        yield f"{name}.1", "\n".join(_page(name, context)) + "\n"


def _page(name: str, context: click.Context) -> Iterator[str]:
    command = context.command
    summary, *paragraphs = cleandoc(command.help or "").split("\n\n")
    yield f'.TH {name.upper()} 1 "" "{PROGRAM} {__version__}"'
    yield ".SH NAME"
    yield f"{escape(name)} \\- {escape(_one_line(summary).rstrip('.'))}"
    yield ".SH SYNOPSIS"
    yield f".B {escape(context.command_path)}"
    yield escape(" ".join(command.collect_usage_pieces(context)))
    if paragraphs:
        yield ".SH DESCRIPTION"
    for paragraph in paragraphs:
        yield from _paragraph(paragraph)
    records = (option.get_help_record(context) for option in command.get_params(context))
    yield from _list("OPTIONS", [record for record in records if record])
    if isinstance(command, click.Group):
        yield from _list("COMMANDS", _commands(command, context))
    if context.parent is None:
        codes = [(str(code), meaning) for code, meaning in EXIT_CODES.items()]
        yield from _list("EXIT STATUS", codes)
        yield from _list("FILES", list(FILES.items()))
    else:
        above = context.parent.command_path.replace(" ", "-")
        yield ".SH SEE ALSO"
        yield f".BR {escape(above)} (1)"


def _commands(group: click.Group, context: click.Context) -> list[tuple[str, str]]:
    found = (
        (name, group.get_command(context, name)) for name in group.list_commands(context)
    )
    return [(name, command.get_short_help_str(80)) for name, command in found if command]


def _paragraph(paragraph: str) -> Iterator[str]:
    """Yield a paragraph; one that click was told to leave alone keeps its lines."""
    is_left_alone = paragraph.startswith("\b")
    yield ".PP"
    if is_left_alone:
        yield ".nf"
        yield from map(escape, paragraph.removeprefix("\b\n").splitlines())
        yield ".fi"
    else:
        yield escape(_one_line(paragraph))


def _list(title: str, entries: list[tuple[str, str]]) -> Iterator[str]:
    if entries:
        yield f".SH {title}"
    for term, meaning in entries:
        yield f".TP\n.B {escape(term)}\n{escape(meaning)}"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def escape(text: str) -> str:
    """Spell a line so that roff takes no part of it for a request or an escape."""
    spelled = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    return f"\\&{spelled}" if spelled.startswith(".") else spelled


if __name__ == "__main__":
    directory = Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    for file_name, text in pages():
        (directory / file_name).write_text(text, encoding="utf-8")
