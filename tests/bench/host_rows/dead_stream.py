"""How soon a rotation arrives while no stream can be opened."""

import time
from collections.abc import Mapping
from pathlib import Path

import anyio

from host_rows.frame import Measured, NotMeasuredError, Row, Run, Target
from host_rows.scene import BEAT_MS, HANG_SECONDS, Scene, scene

SPEED = 10
"""The daemon's clocks run so many times faster, by libfaketime."""
LONG_DOWN_SECONDS = 600.0
SOON, LATER = 9, 3
"""Rotations in the first ten minutes, and after them."""
LIBRARY = "faketime/libfaketimeMT.so.1"
STREAM = "/api/daemon/credentials/rotate-stream"


async def dead_stream(run: Run) -> Mapping[str, Measured]:
    """Refuse every stream, and rotate now and then."""
    variables = {"LD_PRELOAD": str(_library()), "FAKETIME": f"+0 x{SPEED}"}
    async with scene(run, beat_ms=BEAT_MS) as one:
        one.configure()
        one.variables = variables
        with one.daemon():
            await one.until_live()
            one.platform.faults.add("GET", STREAM, status=503, times=10**9)
            one.platform.drop_streams()
            cut = time.monotonic()
            soon = [await _seconds(one, number) for number in range(run.samples(SOON))]
            left = LONG_DOWN_SECONDS / SPEED - (time.monotonic() - cut)
            await anyio.sleep(max(0.0, left * run.share))
            later = [await _seconds(one, SOON + n) for n in range(run.samples(LATER))]
    return {
        "in the first ten minutes, worst": Measured(max(soon)),
        "after ten minutes, worst": Measured(max(later)),
    }


async def _seconds(one: Scene, number: int) -> float:
    """Rotate, and return the seconds of the daemon's clock until the file has it."""
    await anyio.sleep(0.37)  # at another moment of the daemon's minute each time
    value = f"value-{number:06}"
    one.store("s0", value, project="p-s0")
    start, file = time.monotonic(), one.runtime / "s0.env"
    with anyio.fail_after(HANG_SECONDS):
        while value not in file.read_text():  # noqa: ASYNC110 - a file has no event
            await anyio.sleep(0.005)
    return (time.monotonic() - start) * SPEED


def _library() -> Path:
    for place in (Path("/usr/lib"), Path("/usr/local/lib")):
        found = next(place.glob(f"*/{LIBRARY}"), None)
        if found is not None:
            return found
    raise NotMeasuredError("apt-get install libfaketime")


ROWS = (
    Row(
        name="dead-stream",
        title="A rotation while no stream can be opened",
        note=f"streams are answered 503, snapshots work; the daemon's clocks run {SPEED} "
        "times as fast by libfaketime, and its seconds are shown. A delay of the machine "
        f"counts {SPEED} times.",
        targets={
            "in the first ten minutes, worst": Target(unit="s", below=60),
            "after ten minutes, worst": Target(unit="s", below=300),
        },
        measure=dead_stream,
        is_long=True,
    ),
)
