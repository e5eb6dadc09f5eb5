"""The entry point: `rensei-daemon`, or `python -m rensei_daemon`.

A command lives for a moment: it collects no garbage, and ends without taking the
interpreter apart, which would take longer than what most of them do.
"""

import gc
import os
import sys
from contextlib import suppress

from rensei_daemon.cli.main import main as run_command


def main() -> None:
    """Run the command of the command line, and end the process with its exit code."""
    _use_utf8()
    if sys.argv[1:2] == ["run"]:
        run_command()  # it lives for months
    gc.disable()
    try:
        run_command()
    except SystemExit as ended:
        if isinstance(ended.code, int | None) and _is_written():
            os._exit(ended.code or 0)
        raise


def _use_utf8() -> None:
    """Start again in UTF-8 mode, if files would be named in another encoding.

    The configuration and the records name files, and are UTF-8 in every locale. The
    encoding of a process cannot be changed, and no variable is set: a worker inherits it.
    """
    if not sys.flags.utf8_mode and sys.getfilesystemencoding() != "utf-8":
        again = [sys.executable, "-X", "utf8", *sys.orig_argv[1:]]
        with suppress(OSError):
            os.execv(sys.executable, again)  # noqa: S606 - the same program


def _is_written() -> bool:
    """Whether all output has left; if not, Python says why as it ends."""
    try:
        for output in filter(None, (sys.stdout, sys.stderr)):
            output.flush()
    except (OSError, ValueError):
        return False
    return True


if __name__ == "__main__":
    main()
