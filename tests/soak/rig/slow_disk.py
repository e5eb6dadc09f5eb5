"""The daemon on a disk whose flushes take half a minute once a file is there.

`RENSEI_SLOW_DISK` names that file. Run as `python -m rig.slow_disk run`.
"""

import os
import time

from rensei_daemon.cli.main import main

SECONDS = 30.0

_flush = os.fsync


def _slow(descriptor: int) -> None:
    if os.path.exists(os.environ["RENSEI_SLOW_DISK"]):  # noqa: PTH110 - what flushes has no Path
        time.sleep(SECONDS)
    _flush(descriptor)


if __name__ == "__main__":
    os.fsync = _slow  # type: ignore[assignment] # of the same kind
    main(["run"])
