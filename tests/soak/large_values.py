"""Large values that rotate and rotate: the daemon's memory is what it was before.

A worker on the credential socket, an env file and a hook get 0.9 MB in four values, and
other ones 200 times. When they are small again, the daemon is within 10 MB of its size
before.
Run it alone: `.venv-dev/bin/python tests/soak/large_values.py`.
"""

import json
import os
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path

import anyio
from rig.ending import leaving_nothing
from rig.host import open_host
from rig.verdict import BrokenPromiseError

ROTATIONS = 200
VALUE_BYTES = 225_000
NAMES = ("TOKEN", "KEY", "CERTIFICATE", "CHAIN")
MOST_GROWTH = 10e6
BODY = """\
[credentials]
project_id = "p"
[[credentials.sessions]]
id = "build"
env_file = "build.env"
on_rotate = ["/bin/true"]
[projects]
"""


def resident(pid: int) -> int:
    """Return the bytes a process holds."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def read_value(connection: socket.socket, inbox: bytearray) -> str:
    """Return the value of the next frame."""
    while b"\n" not in inbox:
        await anyio.wait_readable(connection)
        inbox += connection.recv(1 << 20)
    line, _, rest = bytes(inbox).partition(b"\n")
    inbox[:] = rest
    frame = json.loads(line)
    value: str = (frame.get("env") or frame.get("delta"))["TOKEN"]
    return value


async def live(place: Path, rotations: int, say: Callable[[str], None]) -> None:
    """Go through it; raises `BrokenPromiseError`."""
    async with open_host(place, body=BODY) as host:
        platform, inbox = host.platform, bytearray()

        async def rotate(value: str) -> None:
            platform.rotate("github", **dict.fromkeys(NAMES, value))
            with anyio.fail_after(10):
                while await read_value(connection, inbox) != value:
                    pass

        platform.set_credential("github", "TOKEN", "small-value-0")
        pid = await host.start()
        await host.until(lambda status: bool(status["state"] == "ok"))
        await host.platform.until(lambda: platform.streams)
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(host.runtime / "credentials.sock"))
            connection.sendall(b'{"type":"HELLO","sessionId":"build"}\n')
            connection.setblocking(False)
            await read_value(connection, inbox)
            for number in range(20):
                await rotate(f"small-value-{number + 1}")
            before, most = resident(pid), 0
            for number in range(rotations):
                await rotate(f"{number:08}" * (VALUE_BYTES // 8))
                most = max(most, resident(pid))
            for number in range(5):
                await rotate(f"small-again-{number}")
            # Until the hook, which comes last, has been told of the last one.
            await host.until(lambda status: all_newest(status["sessions"][0]))
            after = resident(pid)
    said = (
        f"{rotations} rotations of {len(NAMES) * VALUE_BYTES / 1e6:g} MB: "
        f"{before / 1e6:.1f} MB before, "
        f"{most / 1e6:.1f} at most, {after / 1e6:.1f} after"
    )
    say(said)
    if after - before > MOST_GROWTH:
        raise BrokenPromiseError(said)


def all_newest(session: dict[str, object]) -> bool:
    """Tell whether every consumer has the newest generation."""
    consumers = session["consumers"]
    assert isinstance(consumers, list)
    return all(c["generation"] == session["generation"] for c in consumers)


async def main() -> None:
    """Run it in memory, and print what was seen."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        await live(Path(name), ROTATIONS, lambda said: print(said, flush=True))


if __name__ == "__main__":
    with leaving_nothing():
        anyio.run(main)
