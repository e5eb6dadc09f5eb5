"""Why a program did not start."""

import errno
import os

import pytest

from rensei_daemon.core.start_error import explain_start_error


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (
            OSError(errno.ENOEXEC, os.strerror(errno.ENOEXEC)),
            "Exec format error: no #! line, or built for another machine",
        ),
        (
            OSError(errno.E2BIG, os.strerror(errno.E2BIG)),
            "Argument list too long: a value, or all of them, is more than the system "
            "takes",
        ),
        (
            FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)),
            "No such file or directory: the program, or the one that its #! line names",
        ),
        (OSError(errno.EACCES, "Permission denied"), "Permission denied"),
        (ValueError("embedded null byte"), "ValueError"),
    ],
)
def test_the_reason_says_what_to_mend(error: Exception, why: str) -> None:
    """The system's message, with more detail where that is short."""
    assert explain_start_error(error) == why
