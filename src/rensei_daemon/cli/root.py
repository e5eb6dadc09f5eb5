"""The root of the command line: its commands, `--version` and `--debug`."""

import importlib
from collections.abc import Sequence

import click

from rensei_daemon import __version__
from rensei_daemon.cli import PROGRAM
from rensei_daemon.errors import UsageError

COMMANDS = (
    "run", "status", "logs", "doctor", "reload", "sync", "exec", "config", "mutations",
    "credentials", "access", "platform", "demo", "install", "uninstall",
)  # fmt: skip
"""Every command, in the order `--help` shows them; each is `command` in its module."""


class _LazyGroup(click.Group):
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


def _run() -> click.Command:
    """Hand every word behind `run` to its own parser, which knows nothing of click."""
    from rensei_daemon.cli import run

    return click.Command(
        "run",
        params=[click.Argument(["words"], nargs=-1, type=click.UNPROCESSED)],
        callback=lambda words: run.main(words),
        help=run.SUMMARY,
        add_help_option=False,
        context_settings={"ignore_unknown_options": True},
    )


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name=PROGRAM)
@click.option("--debug", is_flag=True, help="Show a traceback when something fails.")
def root(debug: bool) -> None:
    """Keep this worker host in step with the Rensei platform.

    Example: rensei-daemon status
    """


def main(arguments: Sequence[str]) -> int | None:
    """Run a command and return its exit code; one that cannot be is shown its usage."""
    try:
        code: int | None = root.main(
            list(arguments), prog_name=PROGRAM, standalone_mode=False
        )
    except click.exceptions.Abort as error:
        raise KeyboardInterrupt from error
    except click.ClickException as error:
        error.show()
        return UsageError.exit_code
    return code
