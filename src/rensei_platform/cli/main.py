"""The command `rensei-platform` and its groups."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from rensei_platform.cli.lazy_group import LazyGroup
from rensei_platform.cli.output import shown
from rensei_platform.errors import PlatformError
from rensei_platform.version import version

_COMMANDS = {
    "audit": "access:audit",
    "backup": "backup:backup",
    "credential": "credential:credential",
    "doctor": "doctor:doctor",
    "host": "host:host",
    "init": "init:init",
    "install": "install:install",
    "key": "access:key",
    "migrate": "database:migrate_command",
    "mutations": "mutations:mutations",
    "org": "access:org",
    "provider": "provider:provider",
    "rotation": "rotation:rotation",
    "serve": "serve:serve",
    "user": "user:user",
}
"""Where each command is, below this package."""

_USAGE = 64
_UNWRITABLE = 73
_OF_OUTPUT = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)
"""How writing to stdout fails, but for a reader that has gone, which is no error."""
_INTERRUPTED = 130


class _ReaderHasLeftError(Exception):
    """A broken pipe as click sees it, which would make it a failure."""


@contextmanager
def _past_click() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as error:
        raise _ReaderHasLeftError from error


class _Commands(LazyGroup):
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


@click.group(
    cls=_Commands,
    lazy={name: f"rensei_platform.cli.{where}" for name, where in _COMMANDS.items()},
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(version(), prog_name="rensei-platform")
def commands() -> None:
    """Run and administer the control plane of a fleet of hosts."""


def main() -> None:
    """Run a command; print an error and end with its exit code."""
    _open_missing_streams()
    try:
        commands(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(_USAGE if isinstance(error, click.UsageError) else error.exit_code)
    except click.exceptions.Exit as ended:
        sys.exit(ended.exit_code)
    except _ReaderHasLeftError:  # as of `| head`, which has what it wants
        sys.exit(0)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(_INTERRUPTED)
    except PlatformError as error:
        hint = f"\n{error.hint}" if error.hint else ""
        lines = f"error: {error}{hint}".splitlines()
        click.echo("\n".join(map(shown, lines)), err=True)
        sys.exit(error.exit_code)
    except OSError as error:
        if error.filename or error.errno not in _OF_OUTPUT:
            raise
        click.echo(f"error: cannot write the output: {error.strerror}", err=True)
        sys.exit(_UNWRITABLE)


def _open_missing_streams() -> None:
    """Open /dev/null in place of a standard stream that is closed, as by `>&-`.

    The next file to be opened would otherwise take its number, and what is printed.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))
