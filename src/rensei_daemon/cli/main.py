"""Runs every command, and turns errors into two lines and an exit code.

The first line says what happened, the second what to do.
"""

import errno
import itertools
import os
import sys
from collections.abc import Sequence
from contextlib import suppress

from rensei_daemon.cli import PROGRAM
from rensei_daemon.cli.short_commands import short_command
from rensei_daemon.errors import RenseiError, UsageError

_LAST_RESORT = "see what is wrong: rensei-daemon doctor"

_INTERRUPTED = 130
"""128 + SIGINT, as in a shell."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command and exit with its code; the only place that prints an error."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    _open_missing_streams()
    try:
        exit_code = _start(arguments)
        sys.stdout.flush()  # here, where a reader who has left is no error
        sys.exit(exit_code)
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    except BrokenPipeError:
        # The reader has gone (`| head`); Python must not complain at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        # Only options before the command are ours; later ones may be a worker's.
        if "--debug" in itertools.takewhile(lambda word: word[:1] == "-", arguments):
            raise
        known = error if isinstance(error, RenseiError) else _internal(error)
        _complain(known, arguments)
        sys.exit(known.exit_code)


def _open_missing_streams() -> None:
    """Open /dev/null in place of a standard stream that is closed, as by `>&-`.

    The next file to be opened would otherwise take its number, and what is printed.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))


def _start(arguments: list[str]) -> int | None:
    if arguments[:1] == ["run"] and not {"-h", "--help"} & set(arguments):
        from rensei_daemon.trimmed_imports import trim_imports

        trim_imports()
        from rensei_daemon.cli.run import main as run

        run(arguments[1:])
        return 0
    if (command := short_command(arguments)) is not None:
        return command()
    from rensei_daemon.cli.root import main as any_command

    return any_command(arguments)


def _internal(error: BaseException) -> RenseiError:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EIO):
        return RenseiError(f"cannot write the output: {error.strerror}")
    return RenseiError(
        f"internal error: {type(error).__name__}: {error}",
        hint="please report it, with what this says: rensei-daemon --debug …",
    )


def _complain(error: RenseiError, arguments: Sequence[str]) -> None:
    """Print what went wrong and what to do; in the journal, at the level of errors."""
    from rensei_daemon.cli.daemon_address import daemon_of
    from rensei_daemon.core.escaping import LONGEST_LINE, escape_lines
    from rensei_daemon.logs.systemd_journal import leads_to_journal

    hint = error.hint or _LAST_RESORT
    with suppress(UsageError):  # then the hint keeps the usual commands
        hint = daemon_of(arguments).hint(hint)
    text = f"{PROGRAM}: {error}\n  {hint}"
    # systemd reads a level at the start of each line (sd-daemon(3)).
    mark = "<3>" if leads_to_journal(2, os.environ) else ""
    longest = LONGEST_LINE if sys.stderr.isatty() else None
    for line in escape_lines(text, longest=longest).split("\n"):
        print(f"{mark}{line}".encode(errors="replace").decode(), file=sys.stderr)
