"""A day's beats, reconnects and rotations in a few minutes: memory and files stay flat.

A daemon with three sessions, over TLS, sends 2,880 heartbeats; at each of them all streams
are dropped, which makes 8,640 reconnects, and every tenth time the value is rotated. After
each hour's worth it is read what the daemon holds. In the second half of the day the
straight line through these figures must rise by less than the limits, so that a leak of 64
bytes a beat is seen: `--leak 64` plants one, and has to fail. Run it alone:
`.venv-dev/bin/python tests/soak/a_day.py [--hours N] [--leak BYTES]`.
"""

import argparse
import json
import os
import signal
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields
from pathlib import Path

import anyio
from rig.ending import leaving_nothing
from rig.host import Host, open_host, with_tls
from rig.quick_day import FIGURES, LEAK
from rig.verdict import BrokenPromiseError

SESSIONS = ("one", "two", "three")
HOUR_BEATS = 120
BEAT_MS = 50
ROTATED_EVERY = 10
WARM_SHARE = 0.5
"""Of the hours: by then every bounded memory, as of values to redact, is full."""
LOOKS = 5
"""So often it is looked after each hour: the least is not of a request under way."""
LOOK_SECONDS = 0.1
STEP_SECONDS = 20.0
SESSION = '[[credentials.sessions]]\nid = "{id}"\nenv_file = "{id}.env"\n'


@dataclass(frozen=True, slots=True)
class Held:
    """What the daemon holds at one moment, or by how much that grows in an hour."""

    anonymous: float
    """KiB of memory that cannot be dropped, as the kernel counts it."""
    heap: float
    """KiB in use of the C library's heap: OpenSSL's, SQLite's, and larger objects."""
    blocks: float
    """Objects of up to 512 bytes."""
    files: float
    """Open descriptors."""

    def __str__(self) -> str:
        """Return it as one line."""
        return ", ".join(
            f"{one.name} {getattr(self, one.name):.2f}" for one in fields(self)
        )


MOST_GROWTH = Held(anonymous=10.0, heap=5.0, blocks=HOUR_BEATS / 2, files=0.2)
"""In an hour. Half an object a beat is none that every beat leaves behind."""


def growth(held: Sequence[Held]) -> Held:
    """Return the slope of the straight line through the figures of successive hours."""
    hours = range(len(held))
    slopes = (
        statistics.linear_regression(hours, [getattr(one, name.name) for one in held]).slope
        for name in fields(Held)
    )
    return Held(*slopes)


def check(rise: Held) -> None:
    """Raise `BrokenPromiseError` if anything rises by more than it may."""
    grown = [
        f"{one.name} {getattr(rise, one.name):.2f} an hour"
        for one in fields(Held)
        if getattr(rise, one.name) >= getattr(MOST_GROWTH, one.name)
    ]
    if grown:
        raise BrokenPromiseError(f"it grows: {', '.join(grown)}")


async def read(pid: int, figures: Path) -> Held:
    """Have the daemon say what it holds, and ask the kernel."""
    _ask(pid, figures)
    with anyio.fail_after(STEP_SECONDS):
        while (held := _answer(pid, figures)) is None:  # noqa: ASYNC110 - files have no event
            await anyio.sleep(0.01)
    return held


def _ask(pid: int, figures: Path) -> None:
    figures.unlink(missing_ok=True)
    os.kill(pid, signal.SIGUSR1)


def _answer(pid: int, figures: Path) -> Held | None:
    if not figures.exists():
        return None
    said, process = json.loads(figures.read_text()), Path(f"/proc/{pid}")
    lines = (process / "status").read_text().splitlines()
    anonymous = next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))
    files = len(list((process / "fd").iterdir()))
    return Held(anonymous, said["heap"] / 1024, said["blocks"], files)


async def least(pid: int, figures: Path) -> Held:
    """Return the least of each figure in a moment."""
    looks = []
    for _ in range(LOOKS):
        looks.append(await read(pid, figures))
        await anyio.sleep(LOOK_SECONDS)
    return Held(*(min(getattr(one, name.name) for one in looks) for name in fields(Held)))


async def live_an_hour(host: Host, number: int) -> None:
    """Drop all streams at each beat; return when they are open again after the last."""
    platform = host.platform
    for count in range(number * HOUR_BEATS, (number + 1) * HOUR_BEATS):
        if count % ROTATED_EVERY == 0:
            platform.rotate("github", TOKEN=f"value-{count:08}")
        with anyio.fail_after(STEP_SECONDS):
            await platform.until(lambda: len(platform.streams) == len(SESSIONS))
            platform.drop_streams()
            await platform.until(lambda: len(platform.log.beats) > count)  # noqa: B023
    with anyio.fail_after(STEP_SECONDS):
        await platform.until(lambda: len(platform.streams) == len(SESSIONS))


@asynccontextmanager
async def daemon(place: Path, leak: int) -> AsyncIterator[tuple[Host, int]]:
    """Run a daemon with its sessions, over TLS."""
    exposure, authority = with_tls(place)
    body = "".join(SESSION.format(id=name) for name in SESSIONS) + "[projects]\n"
    async with open_host(
        place, beat_ms=BEAT_MS, body=body, keepalive_seconds=0.05, exposure=exposure
    ) as host:
        host.environ["RENSEI_DAEMON_PLATFORM__CA_FILE"] = str(authority)
        host.environ |= {FIGURES: str(place / "figures"), LEAK: str(leak)}
        host.platform.set_credential("github", "TOKEN", "value-start")
        yield host, await host.start("rig.quick_day")


async def live(place: Path, hours: int, leak: int) -> Held:
    """Live through the hours; return by how much it grew in one."""
    held = []
    async with daemon(place, leak) as (host, pid):
        for number in range(hours):
            await live_an_hour(host, number)
            held.append(await least(pid, place / "figures"))
            print(f"hour {number + 1}: {held[-1]}", flush=True)
    return growth(held[round(hours * WARM_SHARE) :])


async def main() -> None:
    """Live through a day in memory, and print what was seen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=int, default=24)
    parser.add_argument("--leak", type=int, default=0, help="bytes, planted in each beat")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        rise = await live(Path(name), asked.hours, asked.leak)
    beats = asked.hours * HOUR_BEATS
    print(f"{beats} beats, {beats * len(SESSIONS)} reconnects; in an hour: {rise}")
    check(rise)


if __name__ == "__main__":
    with leaving_nothing():
        try:
            anyio.run(main)
        except BrokenPromiseError as broken:
            sys.exit(str(broken))
