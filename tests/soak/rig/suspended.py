"""The daemon on a machine whose boot time is ahead by what a file says, in seconds.

`RENSEI_ASLEEP` names that file. Run as `python -m rig.suspended run`.
"""

import os
import time
from pathlib import Path

from rensei_daemon.cli.main import main

_get_time = time.clock_gettime


def _with_sleep(clock: int) -> float:
    asleep = 0.0
    if clock == time.CLOCK_BOOTTIME:
        asleep = float(Path(os.environ["RENSEI_ASLEEP"]).read_text())
    return _get_time(clock) + asleep


if __name__ == "__main__":
    time.clock_gettime = _with_sleep
    main(["run"])
