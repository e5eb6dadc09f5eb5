"""Rotations without end, then a stream that never lasts: the newest value wins, at no cost.

For a minute the platform rotates 200 times a second, and every socket reader, env file and
hook must end on the newest value. Then it drops all streams twice a second for a minute
while it rotates, and again everything must end on the newest, by polling if need be. Memory
and descriptors stay as they were, and no value is found in a log, the state or a command
line. Run it alone: `.venv-dev/bin/python tests/soak/rotations.py`.
"""

import json
import os
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
from rig.ending import leaving_nothing
from rig.host import Host, open_host
from rig.verdict import BrokenPromiseError

CANARY = "sk_canary_rotating_"
SESSIONS = ("one", "two", "three")
SECONDS = 60.0
PER_SECOND = 200
DROP_SECONDS = 0.5
WARM_SECONDS = 30.0
"""By then the daemon knows as many values by sight as it ever does."""
MOST_GROWTH_MIB = 4.0
NEWEST_WITHIN = 10.0
POLLED_WITHIN = 75.0
"""A stream that failed often may rest for a minute; a poll comes no later."""
SESSION = """\
[[credentials.sessions]]
id = "{id}"
env_file = "{id}.env"
on_rotate = ["{hook}"]
"""
# Slow enough to be overtaken, and careless with what it knows.
HOOK = """\
#!/bin/sh
. "$RENSEI_ENV_FILE"
echo "the token is $TOKEN"
printf %s "$TOKEN" > "{place}/$RENSEI_SESSION_ID.told"
exec sleep 0.2
"""


@dataclass(slots=True)
class Reader:
    """A worker on the credential socket."""

    connection: socket.socket
    value: str = ""

    async def listen(self) -> None:
        """Take in whatever is said, for ever."""
        inbox = b""
        while True:
            await anyio.wait_readable(self.connection)
            data = self.connection.recv(65536)
            if not data:
                raise BrokenPromiseError("the daemon closed the connection on a reader")
            *lines, inbox = (inbox + data).split(b"\n")
            for frame in map(json.loads, lines):
                self.value = (frame.get("env") or frame.get("delta"))["TOKEN"]


@dataclass(slots=True)
class Scene:
    """The host, its readers, and the value that is newest."""

    host: Host
    pid: int
    readers: list[Reader]
    count: int = 0

    @property
    def newest(self) -> str:
        """What everybody should have."""
        return f"{CANARY}{self.count:08}"

    def rotate(self) -> None:
        """Rotate the credential once more."""
        self.count += 1
        self.host.platform.rotate("github", TOKEN=self.newest)

    async def all_newest(self, within: float) -> float:
        """Wait until every consumer has the newest value; return how long it took."""
        began = time.monotonic()
        with anyio.move_on_after(within):
            while self._behind():  # noqa: ASYNC110 - files have no event
                await anyio.sleep(0.05)
        if behind := self._behind():
            raise BrokenPromiseError(f"not on the newest value: {', '.join(behind)}")
        return time.monotonic() - began

    def _behind(self) -> list[str]:
        newest, host = self.newest, self.host
        found = {f"reader {n}": reader.value for n, reader in enumerate(self.readers)}
        for name in SESSIONS:
            found[f"{name}.env"] = _text(host.runtime / f"{name}.env")[7:-2]
            found[f"hook of {name}"] = _text(host.directory / f"{name}.told")
        return [who for who, value in found.items() if value != newest]

    def cost(self) -> tuple[float, int]:
        """Return resident MiB and open descriptors."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        memory = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
        return memory, len(list(Path(f"/proc/{self.pid}/fd").iterdir()))


async def storm(scene: Scene, seconds: float) -> tuple[float, int]:
    """Rotate as fast as promised; return what the daemon cost once it was warm."""
    warm = scene.cost()
    began = time.monotonic()
    is_warm = False
    while (elapsed := time.monotonic() - began) < seconds:
        scene.rotate()
        if not is_warm and elapsed >= min(WARM_SECONDS, seconds / 2):
            is_warm, warm = True, scene.cost()
        await anyio.sleep(max(0.0, began + scene.count / PER_SECOND - time.monotonic()))
    return warm


async def flap(scene: Scene, seconds: float) -> int:
    """Drop all streams again and again, rotating meanwhile; return how many fell."""
    dropped = 0
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        await anyio.sleep(DROP_SECONDS)
        scene.rotate()
        dropped += scene.host.platform.drop_streams()
    return dropped


def search(host: Host) -> None:
    """Look for values wherever they must not be; raises `BrokenPromiseError`."""
    places = [*Path("/proc").glob("[0-9]*/cmdline"), host.directory / "stderr"]
    places += (file for file in host.state.rglob("*") if file.is_file())
    found = [str(file) for file in places if CANARY in _text(file)]
    if found:
        raise BrokenPromiseError(f"a value stands in {', '.join(found)}")


def flat(what: str, before: tuple[float, int], after: tuple[float, int]) -> str:
    """Say what it cost; raises `BrokenPromiseError` if that has grown."""
    said = f"{what}: {before[0]:.1f} -> {after[0]:.1f} MiB, {before[1]} -> {after[1]} files"
    if after[0] - before[0] > MOST_GROWTH_MIB or after[1] > before[1] + len(SESSIONS):
        raise BrokenPromiseError(said)
    return said


@asynccontextmanager
async def open_scene(place: Path) -> AsyncIterator[Scene]:
    """Start a daemon whose sessions have all there is to hand over to."""
    hook = place / "hook"
    hook.write_text(HOOK.format(place=place))
    hook.chmod(0o755)
    blocks = "".join(SESSION.format(id=name, hook=hook) for name in SESSIONS)
    body = f'[credentials]\nproject_id = "p"\n{blocks}[projects]\n'
    async with open_host(place, body=body) as host:
        platform = host.platform
        platform.set_credential("github", "TOKEN", f"{CANARY}{0:08}")
        pid = await host.start()
        await host.until(lambda status: bool(status["state"] == "ok"))
        readers = [_connected(host, name) for name in SESSIONS]
        await host.platform.until(lambda: len(platform.streams) == len(SESSIONS))
        async with anyio.create_task_group() as listening:
            for reader in readers:
                listening.start_soon(reader.listen)
            yield Scene(host, pid, readers)
            listening.cancel_scope.cancel()
        for reader in readers:
            reader.connection.close()


def _connected(host: Host, session: str) -> Reader:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(host.runtime / "credentials.sock"))
    connection.sendall(f'{{"type":"HELLO","sessionId":"{session}"}}\n'.encode())
    connection.setblocking(False)
    return Reader(connection)


async def live(place: Path, seconds: float, say: Callable[[str], None]) -> None:
    """Go through both; raises `BrokenPromiseError`."""
    async with open_scene(place) as scene:
        warm = await storm(scene, seconds)
        search(scene.host)
        took = await scene.all_newest(NEWEST_WITHIN)
        say(f"{scene.count} rotations, all newest {took:.2f} s after the last")
        rested = scene.cost()
        say(flat("storm", warm, rested))

        dropped = await flap(scene, seconds)
        took = await scene.all_newest(POLLED_WITHIN)
        say(f"{dropped} streams dropped, all newest {took:.2f} s after the last")
        say(flat("drops", rested, scene.cost()))
        search(scene.host)


def _text(file: Path) -> str:
    try:
        return file.read_bytes().decode(errors="replace")
    except OSError:
        return ""


async def main() -> None:
    """Run it in memory, and print what was seen."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        await live(Path(name), SECONDS, lambda said: print(said, flush=True))


if __name__ == "__main__":
    with leaving_nothing():
        anyio.run(main)
