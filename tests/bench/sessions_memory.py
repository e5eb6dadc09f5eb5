"""What a session weighs, and that its rotations leave nothing behind.

One daemon from `.venv` beside a control plane on loopback, first with one session, then
with many; each has five values, a stream, an env file and a socket reader. Resident memory
is VmRSS of /proc in MiB after a rest. Then the sessions of the many are rotated in turn,
and memory is read again. Run it alone:
`.venv-dev/bin/python tests/bench/sessions_memory.py`.
"""

import os
import secrets
import socket
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import anyio
import anyio.from_thread
import anyio.to_thread
from footprint import BIN, daemon, resident

# A bench is run as a script, and shares this with the tests.
sys.path.append(str(Path(__file__).parents[1] / "support"))
from platform_thread import PlatformThread, running_platform

MANY = 200
ROTATIONS = 2000
REST_SECONDS = 10.0
MOST_PER_SESSION = 0.3
MOST_GROWTH = 2.0

SESSION = """\
[[credentials.sessions]]
id = "s{number}"
project_id = "p{number}"
env_file = "s{number}.env"
"""


class Scene:
    """A host's files in memory, and a platform with values for each of its sessions."""

    def __init__(self, place: Path, platform: PlatformThread) -> None:
        self.place = place
        self._platform = platform
        for number in range(MANY):
            names = ("USER", "PASSWORD", "REGION", "ENDPOINT")
            fixed = {name: secrets.token_hex(20) for name in names}
            platform.set_credentials("fixed", fixed, project=f"p{number}")
            self._set_token(number)
        self.environ = {
            "PATH": os.environ["PATH"],
            "RENSEI_API_KEY": platform.add_key(),
            "RENSEI_DAEMON_CONFIG": str(place / "config.toml"),
            "RENSEI_DAEMON_PATHS__STATE": str(place / "state"),
            "RENSEI_DAEMON_PATHS__RUNTIME": str(place / "run"),
        }

    def _set_token(self, number: int) -> str:
        value, project = secrets.token_hex(20), f"p{number}"
        self._platform.set_credential(f"k{number}", "TOKEN", value, project=project)
        return value

    def rotate(self, number: int) -> str:
        """Rotate the token of one session, and return what it is now."""
        value = self._set_token(number)
        self._platform.rotate(f"k{number}")
        return value

    def configure(self, count: int) -> None:
        """Write the configuration of a host with so many sessions."""
        blocks = "".join(SESSION.format(number=number) for number in range(count))
        url = self._platform.url
        (self.place / "config.toml").write_text(f'[platform]\nurl = "{url}"\n{blocks}')

    def read(self, number: int) -> socket.socket:
        """Connect a reader to a session, and return it once it has every value."""
        reader = socket.socket(socket.AF_UNIX)
        reader.settimeout(20)
        reader.connect(str(self.place / "run" / "credentials.sock"))
        reader.sendall(f'{{"type":"HELLO","sessionId":"s{number}"}}\n'.encode())
        until(reader, "INITIAL")
        return reader


def until(reader: socket.socket, text: str) -> None:
    """Read until it has said so."""
    heard = b""
    while text.encode() not in heard:
        data = reader.recv(65536)
        if not data:
            raise ConnectionError("the daemon closed the connection")
        heard += data


def weigh(scene: Scene, count: int, rotations: int) -> tuple[float, float]:
    """Return the memory of a daemon with so many sessions, at rest and once rotated."""
    scene.configure(count)
    with daemon(scene.place, scene.environ) as (process, _), ExitStack() as stack:
        readers = [stack.enter_context(scene.read(number)) for number in range(count)]
        time.sleep(REST_SECONDS)
        before = resident(process.pid)
        for number in range(rotations):
            value = anyio.from_thread.run_sync(scene.rotate, number % count)
            until(readers[number % count], value)
        time.sleep(REST_SECONDS if rotations else 0)
        return before, resident(process.pid)


async def main() -> int:
    """Print the table; fail over the targets."""
    if not (BIN / "rensei-daemon").exists():
        print("make .venv/ready first")
        return 1
    with (
        tempfile.TemporaryDirectory(dir="/dev/shm") as folder,
        running_platform() as platform,
    ):
        scene = Scene(Path(folder), platform)
        one, _ = await anyio.to_thread.run_sync(weigh, scene, 1, 0)
        many, rotated = await anyio.to_thread.run_sync(weigh, scene, MANY, ROTATIONS)
    each, growth = (many - one) / (MANY - 1), rotated - many
    rows = [
        ("one session", f"{one:.1f} MiB", "see footprint.py"),
        (f"{MANY} sessions", f"{many:.1f} MiB", ""),
        ("each", f"{each:.3f} MiB", f"< {MOST_PER_SESSION} MiB"),
        (f"after {ROTATIONS} rotations", f"{growth:+.1f} MiB", f"± {MOST_GROWTH} MiB"),
    ]
    for what, measured, target in rows:
        print(f"{what:22} {measured:>12}   {target}")
    return int(each >= MOST_PER_SESSION or abs(growth) > MOST_GROWTH)


if __name__ == "__main__":
    sys.exit(anyio.run(main))
