"""Streams that a gateway ends again and again: how late a rotation arrives.

Every stream is ended once it is 20 s old, as gateways do, while the platform rotates at
random moments for ten minutes. Workers on the credential socket must have each value
within a second of its rotation, 99 times of a hundred, and `status` must name the trouble.
Run it alone: `.venv-dev/bin/python tests/soak/flapping.py [CAP_SECONDS [MINUTES]]`.
"""

import json
import random
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import anyio
from rig.ending import leaving_nothing
from rig.host import Host, open_host
from rig.verdict import BrokenPromiseError

from rensei_platform.bus.hub import Stream

CAP_SECONDS = 20.0
MINUTES = 10.0
SESSIONS = ("one", "two", "three", "four", "five")
MEAN_SECONDS = 1.5
"""Between two rotations, on average."""
P99_SECONDS = 1.0
SESSION = """\
[[credentials.sessions]]
id = "{id}"
"""


@dataclass(slots=True)
class Worker:
    """A reader of the credential socket that notes how late each rotation came."""

    connection: socket.socket
    rotated_at: list[float]
    """When each value was rotated; shared, and grows."""
    seen: int = 0
    late: list[float] = field(default_factory=list)

    async def listen(self) -> None:
        """Take in whatever is said, for ever."""
        inbox = b""
        while True:
            await anyio.wait_readable(self.connection)
            data = self.connection.recv(65536)
            now = time.monotonic()
            if not data:
                raise BrokenPromiseError("the daemon closed the connection on a reader")
            *lines, inbox = (inbox + data).split(b"\n")
            for frame in map(json.loads, lines):
                number = int((frame.get("env") or frame.get("delta"))["TOKEN"])
                if number < self.seen:
                    raise BrokenPromiseError(f"{number} came after {self.seen}")
                self.late += [now - at for at in self.rotated_at[self.seen : number]]
                self.seen = number


def connected(host: Host, session: str, rotated_at: list[float]) -> Worker:
    """Return a worker that has asked for its values."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(host.runtime / "credentials.sock"))
    connection.sendall(f'{{"type":"HELLO","sessionId":"{session}"}}\n'.encode())
    connection.setblocking(False)
    return Worker(connection, rotated_at)


async def cap_streams(host: Host, cap_seconds: float) -> None:
    """End every stream at this age; never returns."""
    opened: dict[Stream, float] = {}
    while True:
        now = time.monotonic()
        for stream in host.platform.streams:
            if now - opened.setdefault(stream, now) >= cap_seconds:
                host.platform.end_stream(stream)
        await anyio.sleep(cap_seconds / 200)


async def rotate(host: Host, rotated_at: list[float], seconds: float) -> None:
    """Rotate at random moments."""
    draw = random.Random(7)  # noqa: S311 - no secret
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        await anyio.sleep(draw.expovariate(1 / MEAN_SECONDS))
        number = len(rotated_at) + 1
        host.platform.set_credential("github", "TOKEN", str(number))
        rotated_at.append(time.monotonic())
        host.platform.rotate("github")


async def live(
    place: Path, cap_seconds: float, seconds: float, say: Callable[[str], None]
) -> None:
    """Go through it; raises `BrokenPromiseError`."""
    blocks = "".join(SESSION.format(id=name) for name in SESSIONS)
    body = f'[credentials]\nproject_id = "p"\n{blocks}[projects]\n'
    rotated_at: list[float] = []
    async with open_host(place, body=body) as host:
        host.platform.set_credential("github", "TOKEN", "0")
        await host.start()
        await host.until(lambda status: bool(status["state"] == "ok"))
        workers = [connected(host, name, rotated_at) for name in SESSIONS]
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(cap_streams, host, cap_seconds)
            for worker in workers:
                tasks.start_soon(worker.listen)
            await rotate(host, rotated_at, seconds)
            with anyio.fail_after(5):
                while any(worker.seen < len(rotated_at) for worker in workers):  # noqa: ASYNC110 - counts have no event
                    await anyio.sleep(0.05)
            status = await host.status()
            tasks.cancel_scope.cancel()
        asked = host.platform.log.counts["POST", "/api/daemon/credentials/snapshot"]
    late = sorted(second for worker in workers for second in worker.late)
    p50, p99, worst = late[len(late) // 2], late[int(len(late) * 0.99)], late[-1]
    over = sum(second > P99_SECONDS for second in late)
    codes = sorted({condition["code"] for condition in status["conditions"]})
    say(
        f"streams capped at {cap_seconds:g} s for {seconds / 60:g} min: "
        f"{len(late)} arrivals, "
        f"p50 {p50 * 1000:.1f} ms, p99 {p99 * 1000:.0f} ms, worst {worst:.2f} s, "
        f"{over} later than {P99_SECONDS:g} s; {asked} snapshots; status names {codes}"
    )
    if p99 >= P99_SECONDS:
        raise BrokenPromiseError(f"a rotation took {p99:.2f} s (p99)")
    if seconds >= 7 * cap_seconds and "stream.flapping" not in codes:
        raise BrokenPromiseError(f"status names {codes}, not stream.flapping")


async def main() -> None:
    """Run it in memory, and print what was seen."""
    given = [float(argument) for argument in sys.argv[1:]]
    cap_seconds, minutes = (given + [CAP_SECONDS, MINUTES][len(given) :])[:2]
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        await live(
            Path(name), cap_seconds, minutes * 60, lambda said: print(said, flush=True)
        )


if __name__ == "__main__":
    with leaving_nothing():
        anyio.run(main)
