"""`docs/commands.md`: every command's own help, on one page.

Written anew by `make fix`, or alone: `.venv-dev/bin/python tests/docs/commands_page.py`.
A test holds the page to what this would write.
"""

from collections.abc import Iterator
from pathlib import Path

import click

from rensei_daemon.cli import PROGRAM
from rensei_daemon.cli.root import COMMANDS, root

PAGE = Path(__file__).parents[2] / "docs" / "commands.md"
WIDTH = 92

HEAD = f"""\
# Commands

<!-- Written by `make fix` from the program itself. -->

What `{PROGRAM} COMMAND --help` says, all of it. Errors are two lines: what went wrong, and
what to do. `--json` has stable keys; a pipe gets no colour and nothing is cut. Characters
that nobody can see (control, direction, zero-width) are shown as escapes: `\\u202e`.
`--debug`, before the command, shows a traceback.

| exit code | means |
|---|---|
"""

EXIT_CODES = {
    0: "it went well",
    1: "it did not; of `status`: degraded, starting or stopping; of `access check`: denied",
    2: "of `status` alone: failed, or running but silent for 2 s",
    3: "the daemon is not running",
    64: "the command line asks for something impossible",
    69: "the platform cannot be reached, or did not do what it was asked",
    75: "another daemon holds this state; `exec --fail-after`: not in time",
    77: "not permitted, on this host or by the platform",
    78: "the configuration cannot be used",
    126: "of `exec` alone: CMD cannot be started",
    127: "of `exec` alone: there is no CMD",
    130: "interrupted by Ctrl-C",
}


def walk(
    command: click.Command = root, parent: click.Context | None = None, name: str = PROGRAM
) -> Iterator[click.Context]:
    """Yield a context for each command of the tree, a group before its commands."""
    settings = {**command.context_settings, "terminal_width": WIDTH}
    context = click.Context(command, info_name=name, parent=parent, **settings)
    yield context
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            found = command.get_command(context, below)
            assert found is not None
            yield from walk(found, context, below)


def render() -> str:
    """Return the page."""
    codes = "".join(f"| {code} | {meaning} |\n" for code, meaning in EXIT_CODES.items())
    contents = " ·\n".join(f"[{name}](#{name})" for name in COMMANDS)
    return f"{HEAD}{codes}\n{contents}\n" + "".join(_section(context) for context in walk())


def _section(context: click.Context) -> str:
    words = context.command_path.split()[1:]
    title = " ".join(words) or PROGRAM
    said = "\n".join(line.rstrip() for line in context.get_help().splitlines())
    marks = "##" if len(words) < 2 else "###"
    return f"\n{marks} {title}\n\n```text\n{said}\n```\n"


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
