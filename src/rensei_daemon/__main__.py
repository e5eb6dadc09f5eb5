"""The entry point: `rensei-daemon`, or `python -m rensei_daemon`.

A command lives for a moment: it collects no garbage, and ends without taking the
interpreter apart, which would take longer than what most of them do.
"""

import gc
import os
import sys

from rensei_daemon.cli.main import main as run_command


def main() -> None:
    """Run the command of the command line, and end the process with its exit code."""
    if sys.argv[1:2] == ["run"]:
        run_command()  # it lives for months
    gc.disable()
    try:
        run_command()
    except SystemExit as ended:
        if isinstance(ended.code, int | None) and _is_written():
            os._exit(ended.code or 0)
        raise


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
