"""Start of the program `rensei-platform`."""

import os
import signal
import sys
from contextlib import suppress

_interrupt = signal.getsignal(signal.SIGINT)
if _interrupt is signal.default_int_handler:
    # While the program is imported an interrupt ends it, and is no traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from rensei_platform.cli.garbage import collect_seldom  # noqa: E402 - see above
from rensei_platform.cli.main import main as run_command  # noqa: E402

signal.signal(signal.SIGINT, _interrupt)


def main() -> None:
    """Run a command, and end the process with its exit code.

    The interpreter is not finalized, which is a third of what most commands take.
    """
    collect_seldom()
    code = 0
    try:
        run_command()
    except SystemExit as ended:
        if not isinstance(ended.code, int | None):
            raise
        code = ended.code or 0
    for output in filter(None, (sys.stdout, sys.stderr)):
        with suppress(OSError):  # the command has said so, and ends with its own code
            output.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
