"""Starting a command: what Python changed is undone, and what fails is explained."""

import errno
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NoReturn

from rensei_daemon.errors import NotFoundError, NotRunnableError

PYTHON_IGNORES = (signal.SIGPIPE, signal.SIGXFSZ)
"""Signals that Python ignores, but a program that it starts must not."""


def become(argv: Sequence[str], env: Mapping[str, str]) -> NoReturn:
    """Replace this process by the command; raises `NotRunnableError`."""
    for number in PYTHON_IGNORES:
        signal.signal(number, signal.SIG_DFL)
    with start_errors(argv[0]):
        os.execvpe(argv[0], list(argv), dict(env))  # noqa: S606 - intended


@contextmanager
def start_errors(program: str) -> Iterator[None]:
    """Raise `NotRunnableError` with the reason why a program did not start."""
    try:
        yield
    except OSError as error:
        from rensei_daemon.core.start_error import explain_start_error

        message = f"{program}: {explain_start_error(error)}"
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            hint = f"look for it: command -v {program}; a script may name a missing one"
            raise NotFoundError(message, hint=hint) from None
        hint = f"look at it: ls -l {program}" if error.errno != errno.E2BIG else ""
        raise NotRunnableError(message, hint=hint) from None
