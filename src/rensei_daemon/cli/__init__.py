"""The command line: one file a command, named for the verb the user types.

A command's module is imported when the command is used, so that a short one (`status`,
`exec`) never pays for a long one (`run`). This file owns what all of them share: the
root, `--version`, `--debug`, and the border where an error becomes one line that says
what, one line that says what to do, and an exit code.
"""

import importlib
import itertools
import os
import sys
from collections.abc import Sequence

import click

from rensei_daemon import __version__
from rensei_daemon.errors import RenseiError, UsageError

COMMANDS = (
    "run", "status", "logs", "reload", "sync", "exec", "config", "mutations", "credentials",
    "platform", "demo", "install", "uninstall",
)  # fmt: skip
"""Every command, in the order `--help` shows them; each is `command` in its module."""

PROGRAM = "rensei-daemon"


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"rensei_daemon.cli.{cmd_name}")
        command = module.command
        assert isinstance(command, click.Command)  # noqa: S101 - ours, not a user's
        return command


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name=PROGRAM)
@click.option("--debug", is_flag=True, help="Show a traceback when something fails.")
def root(debug: bool) -> None:
    """Keep this worker host in step with the Rensei platform.

    Example: rensei-daemon status
    """


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command and exit with its code; the only place that prints an error."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        sys.exit(root.main(arguments, prog_name=PROGRAM, standalone_mode=False))
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(UsageError.exit_code)
    except BrokenPipeError:
        # The reader has gone (`| head`); Python must not complain at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        # Ours stands before the command; one behind it may be a worker's, after `exec`.
        if "--debug" in itertools.takewhile(lambda word: word[:1] == "-", arguments):
            raise
        known = error if isinstance(error, RenseiError) else _mistake(error)
        _complain(known)
        sys.exit(known.exit_code)


def _mistake(error: Exception) -> RenseiError:
    return RenseiError(
        f"a mistake of ours: {type(error).__name__}: {error}",
        hint="please report it, with what this says: rensei-daemon --debug …",
    )


def _complain(error: RenseiError) -> None:
    """Say what went wrong and what to do; in systemd's journal, at the level of errors."""
    from rensei_daemon.logs.journal import leads_to_journal

    text = f"{PROGRAM}: {error}" + (f"\n  {error.hint}" if error.hint else "")
    # systemd reads a level from the head of each line (sd-daemon(3)).
    mark = "<3>" if leads_to_journal(2, os.environ) else ""
    for line in text.splitlines():
        click.echo(f"{mark}{line}", err=True)
