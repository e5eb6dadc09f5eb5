"""The root of the command line: its commands, and the options before them."""

import importlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import click

from rensei_daemon import __version__
from rensei_daemon.cli import PROGRAM
from rensei_daemon.cli.completion import SCRIPTS, script
from rensei_daemon.cli.terminal import USUAL
from rensei_daemon.core.spelling import nearest
from rensei_daemon.errors import UsageError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

COMMANDS = {
    "run": "Run the daemon in the foreground, as its unit does.",
    "status": "Show the daemon's state, its problems and what to do.",
    "logs": "Show the daemon's log.",
    "doctor": "Check this host and its path to the platform.",
    "reload": "Have the daemon read its configuration again now.",
    "sync": "Send a heartbeat and fetch new credentials now.",
    "exec": "Start a worker with its session's credentials.",
    "metrics": "Print the daemon's metrics, as Prometheus would read them.",
    "config": "Find, check and show the configuration, and its history.",
    "mutations": "See the mutations of this host; request others.",
    "credentials": "See what this host's sessions have, and wait for it.",
    "access": "Try the model-access policy of this host.",
    "demo": "Demonstrate the main job on temporary paths.",
    "install": "Make this program a service of this host, or of one user.",
    "uninstall": "Undo what install did.",
}
"""All commands, in the order of `--help`; each is `command` in its module.

The descriptions are repeated here, because the help would otherwise import all modules.
"""

_NARROWEST = 30


class _ReaderHasLeftError(Exception):
    """A broken pipe as click sees it, which would make it a failure."""


@contextmanager
def _past_click() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as error:
        raise _ReaderHasLeftError from error


class _LazyGroup(click.Group):
    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        with _past_click():  # help texts are printed in here
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with _past_click():
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in COMMANDS:
            return None
        if cmd_name == "run":
            return _run()
        command = importlib.import_module(f"rensei_daemon.cli.{cmd_name}").command
        assert isinstance(command, click.Command)  # noqa: S101 - ours, not a user's
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        is_unknown = args[0] not in COMMANDS and not ctx.resilient_parsing
        if is_unknown and (meant := nearest(args[0], COMMANDS)):
            ctx.fail(f"No such command '{args[0]}': {meant}")
        return super().resolve_command(ctx, args)

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        formatter: click.HelpFormatter,
    ) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def shell_complete(
        self, ctx: click.Context, incomplete: str
    ) -> "list[CompletionItem[str]]":
        from click.shell_completion import CompletionItem

        names = [name for name in COMMANDS if name.startswith(incomplete)]
        items = [CompletionItem(name, help=COMMANDS[name]) for name in names]
        return items + click.Command.shell_complete(self, ctx, incomplete)


def _run() -> click.Command:
    """Return click's view of `run`, which parses its command line itself."""
    from rensei_daemon.cli import run

    options = [
        click.Option(
            [option.name],
            help=option.help,
            metavar=option.metavar,
            type=click.Choice(option.choices) if option.choices else click.Path(),
        )
        for option in run.OPTIONS
    ]
    return click.Command("run", params=[*options], callback=run.start, help=run.HELP)


def _print_script(context: click.Context, _: click.Parameter, shell: str | None) -> None:
    if shell is not None and not context.resilient_parsing:
        click.echo(script(shell), nl=False)
        context.exit()


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name=PROGRAM)
@click.option("--debug", is_flag=True, help="Show a traceback when something fails.")
@click.option(
    "--completion",
    type=click.Choice(list(SCRIPTS)),
    expose_value=False,
    is_eager=True,
    callback=_print_script,
    help="Print a shell's completion script; `install` puts it in place.",
)
def root(debug: bool) -> None:
    """Keep this worker host in step with the Rensei platform.

    \b
    Examples:
      rensei-daemon status
      source <(rensei-daemon --completion bash)
    """  # noqa: D301 - \b is click's mark for a paragraph to leave alone


def main(arguments: Sequence[str]) -> int | None:
    """Run a command and return its exit code.

    Raises UsageError for an invalid command line.
    """
    try:
        code: int | None = root.main(
            list(arguments),
            prog_name=PROGRAM,
            standalone_mode=False,
            terminal_width=_width(),
        )
    except click.exceptions.Abort as error:
        raise KeyboardInterrupt from error
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return UsageError.exit_code
    except click.ClickException as error:
        raise _usage(error) from error
    except _ReaderHasLeftError as error:
        raise BrokenPipeError from error
    return code


def _usage(error: click.ClickException) -> UsageError:
    text = error.format_message().rstrip(".")
    context = error.ctx if isinstance(error, click.UsageError) else None
    path = context.command_path if context else PROGRAM
    return UsageError(text[:1].lower() + text[1:], hint=f"see: {path} --help")


def _width() -> int | None:
    """Return the width of the help on a terminal narrower than click allows."""
    with suppress(OSError):  # importing `shutil` would take longer than all of this
        named = os.environ.get("COLUMNS", "")
        columns = int(named) if named.isdecimal() else os.get_terminal_size().columns
        return max(columns, _NARROWEST) if 0 < columns < USUAL else None
    return None
