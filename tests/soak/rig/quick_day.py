"""The daemon, whose streams are opened again at once, and which says what it holds.

Run as `python -m rig.quick_day run`. At SIGUSR1 it writes its figures to the file that
`FIGURES` names. With `LEAK`, each beat leaves so many bytes behind.
"""

import ctypes
import gc
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from rensei_daemon.cli.main import main
from rensei_daemon.platform_api.client import PlatformClient
from rensei_daemon.platform_api.reconnector import Reconnector
from rensei_daemon.process import release_free_memory

FIGURES = "SOAK_FIGURES"
LEAK = "SOAK_LEAK"
LONGEST_WAIT = 0.02


class _Mallinfo(ctypes.Structure):
    """`struct mallinfo2` of glibc."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    )


def write_figures(*_: object) -> None:
    """Write what is held by something; what nothing holds is released first.

    The daemon does so three times a minute, which is an eternity here.
    """
    gc.collect()
    release_free_memory()
    path = Path(os.environ[FIGURES])
    blocks, heap = sys.getallocatedblocks(), _mallinfo2()
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps({"blocks": blocks, "heap": heap.uordblks + heap.hblkhd}))
    draft.replace(path)


def wait_shortly() -> None:
    """Have streams opened again at once; what decides about the wait runs as ever."""
    decide = Reconnector.wait_after

    def wait_after(self: Reconnector, *ended: Any, **how: Any) -> float:
        return min(LONGEST_WAIT, decide(self, *ended, **how))

    vars(sys.modules[Reconnector.__module__])["Reconnector"].wait_after = wait_after


def leak(size: int) -> None:
    """Keep so many bytes of each beat."""
    kept: list[bytes] = []
    beat = PlatformClient.heartbeat

    async def heartbeat(self: PlatformClient, *what: Any) -> Any:
        kept.append(bytes(size))
        return await beat(self, *what)

    vars(sys.modules[PlatformClient.__module__])["PlatformClient"].heartbeat = heartbeat


if __name__ == "__main__":
    _mallinfo2 = ctypes.CDLL(None).mallinfo2
    _mallinfo2.restype = _Mallinfo
    signal.signal(signal.SIGUSR1, write_figures)
    wait_shortly()
    if size := int(os.environ.get(LEAK, "0")):
        leak(size)
    main(["run"])
