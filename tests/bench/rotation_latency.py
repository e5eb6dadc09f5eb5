"""How long a rotation takes from the platform's event to the file and the socket client.

Run it by hand: `.venv-dev/bin/python tests/bench/rotation_latency.py [SESSIONS …]`; with
`--hook` every session has a hook, with `--on DIR` the files are there, and not on a tmpfs.

The platform, the daemon and the readers are three processes on one machine. For each
rotation the clock starts just before the platform sends the event, and stops when the
session's reader has the new value, and when its env file has been renamed into place
(seen by inotify). The floors are measured in the same run, with nothing around them: the
event on bare TCP sockets in the place of the daemon, and on streams of httpx that do
nothing with it; a line through a unix socket, and a flushed file replaced and its
directory flushed.

A rotation of a kind that every session has is the worst there is: all of them are told at
once, and the last one waits for the others. One that a single session has is told beside
it, on the same host.
"""

import argparse
import ctypes
import json
import os
import select
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import anyio
import httpx
from anyio.abc import TaskStatus

from rensei_daemon.disk.atomic_file import replace_file
from rensei_platform.settings import ServerSettings

# A bench is run as a script, and shares this with the tests.
sys.path.append(str(Path(__file__).parents[1] / "support"))
from platform_thread import PlatformThread, running_platform

PROGRAM = str(Path(sys.executable).with_name("rensei-daemon"))
ROUNDS = 50
EVERYONES, ONES = "github", "linear"
"""The kind that every session has, and the one that only the first has."""
PAUSE_SECONDS = 0.2
"""Long enough for what one rotation brings with it to be over."""
BARE, HTTPX = "--bare", "--httpx"
"""What reads the events in the place of the daemon."""
TMPFS = "/dev/shm"  # noqa: S108 - a directory of its own is made in it
IN_MOVED_TO = 0x80
_EVENT = struct.Struct("iIII")


class Readers:
    """Every session's socket client and env file, watched by one thread."""

    def __init__(self, runtime: Path, sessions: list[str]) -> None:
        self.told: dict[str, float] = {}
        self.replaced: dict[str, float] = {}
        self._poll = select.poll()
        self._sockets: dict[int, tuple[str, socket.socket]] = {}
        for session in sessions:
            client = socket.socket(socket.AF_UNIX)
            client.connect(str(runtime / "credentials.sock"))
            client.sendall(f'{{"type":"HELLO","sessionId":"{session}"}}\n'.encode())
            client.recv(65536)
            self._sockets[client.fileno()] = (session, client)
            self._poll.register(client, select.POLLIN)
        libc = ctypes.CDLL(None)
        self._notify = libc.inotify_init1(os.O_NONBLOCK)
        libc.inotify_add_watch(self._notify, os.fsencode(runtime), IN_MOVED_TO)
        self._poll.register(self._notify, select.POLLIN)

    def until_all(self, count: int) -> None:
        """Note when each session's client was told and its file replaced."""
        deadline = time.monotonic() + 10
        while len(self.told) < count or len(self.replaced) < count:
            for descriptor, _ in self._poll.poll(100):
                now = time.perf_counter()
                if descriptor == self._notify:
                    for name in self._moved():
                        self.replaced.setdefault(name.removesuffix(".env"), now)
                else:
                    session, client = self._sockets[descriptor]
                    client.recv(65536)
                    self.told.setdefault(session, now)
            if time.monotonic() > deadline:
                raise TimeoutError("a rotation got lost")

    def _moved(self) -> Iterator[str]:
        data = os.read(self._notify, 65536)
        while data:
            _, _, _, length = _EVENT.unpack_from(data)
            name = data[_EVENT.size : _EVENT.size + length].rstrip(b"\0").decode()
            data = data[_EVENT.size + length :]
            if name.endswith(".env"):
                yield name


class Streams:
    """The events as they come from the platform, read by bare sockets: another floor."""

    def __init__(self, url: str, key: str, sessions: list[str]) -> None:
        self.told: dict[str, float] = {}
        self._poll = select.poll()
        self._sockets: dict[int, tuple[str, socket.socket]] = {}
        host, port = url.removeprefix("http://").split(":")
        for session in sessions:
            client = socket.create_connection((host, int(port)))
            path = f"/api/daemon/credentials/rotate-stream?sessionId={session}"
            client.sendall(
                f"GET {path} HTTP/1.1\r\nHost: {host}\r\n"
                f"Authorization: Bearer {key}\r\n\r\n".encode()
            )
            client.recv(65536)
            self._sockets[client.fileno()] = (session, client)
            self._poll.register(client, select.POLLIN)

    def until_all(self, count: int) -> None:
        """Note when each stream had its event."""
        while len(self.told) < count:
            for descriptor, _ in self._poll.poll():
                session, client = self._sockets[descriptor]
                if b"UPDATE" in client.recv(65536):
                    self.told.setdefault(session, time.perf_counter())


async def _read_httpx(url: str, key: str, sessions: list[str]) -> None:
    """Be the process of httpx's streams: the least that a daemon built on it can take."""
    told: dict[str, float] = {}
    is_round_over = anyio.Event()

    async def read(session: str, task_status: TaskStatus[None]) -> None:
        path = f"{url}/api/daemon/credentials/rotate-stream?sessionId={session}"
        headers = {"Authorization": f"Bearer {key}"}
        async with client.stream("GET", path, headers=headers) as response:
            async for chunk in response.aiter_raw():
                if b"UPDATE" not in chunk:  # the hello
                    task_status.started()
                    continue
                told[session] = time.perf_counter()
                if len(told) == len(sessions):
                    is_round_over.set()

    limits = httpx.Limits(max_connections=None)
    async with (
        httpx.AsyncClient(timeout=None, limits=limits) as client,  # noqa: S113
        anyio.create_task_group() as reading,
    ):
        for session in sessions:
            await reading.start(partial(read, session))
        print("ready", flush=True)
        for _ in range(ROUNDS):
            await is_round_over.wait()
            is_round_over = anyio.Event()
            print(json.dumps(list(told.values())), flush=True)
            told.clear()
        reading.cancel_scope.cancel()


def _floor(place: Path) -> tuple[list[float], list[float]]:
    """Return (socket, file) seconds of the bare operations."""
    one, other = socket.socketpair()
    hops, writes = [], []
    data = b'TOKEN="' + b"x" * 40 + b'"\n'
    for _ in range(ROUNDS):
        start = time.perf_counter()
        one.send(data)
        other.recv(4096)
        hops.append(time.perf_counter() - start)
        start = time.perf_counter()
        replace_file(place / "floor", data, mode=0o440)
        writes.append(time.perf_counter() - start)
    return hops, writes


@contextmanager
def _daemon(
    place: Path, platform: PlatformThread, sessions: list[str], *, has_hook: bool
) -> Iterator[None]:
    config = place / "config.toml"
    hook = 'on_rotate = ["/bin/true"]\n' if has_hook else ""
    blocks = (
        f'[[credentials.sessions]]\nid = "{s}"\nproject_id = "p-{s}"\n'
        f'env_file = "{s}.env"\n{hook}'
        for s in sessions
    )
    config.write_text(
        f'[platform]\nurl = "{platform.url}"\napi_key_file = "key"\n'
        f'[paths]\nstate = "state"\nruntime = "{place}/run"\n' + "".join(blocks)
    )
    argv = [PROGRAM, "run", "--config", str(config)]
    with (place / "log").open("wb") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def _measure(
    place: Path, platform: PlatformThread, sessions: list[str], has_hook: bool
) -> dict[str, tuple[list[float], list[float]]]:
    """Return (told, replaced) seconds of each kind's rotations."""
    with _daemon(place, platform, sessions, has_hook=has_hook):
        for session in sessions:
            argv = [PROGRAM, "credentials", "wait", "--session", session]
            subprocess.run([*argv, "--config", str(place / "config.toml")], check=True)
        while len(platform.streams) < len(sessions):
            time.sleep(0.01)
        time.sleep(0.5)  # the snapshots that follow the streams
        rotated = {EVERYONES: len(sessions)}
        if len(sessions) > 1:
            rotated[ONES] = 1
        return {
            kind: _measure_kind(place, platform, sessions, kind, count)
            for kind, count in rotated.items()
        }


def _measure_kind(
    place: Path, platform: PlatformThread, sessions: list[str], kind: str, count: int
) -> tuple[list[float], list[float]]:
    told: list[float] = []
    replaced: list[float] = []
    argv = [sys.executable, __file__, "--readers", str(place / "run"), str(count)]
    with subprocess.Popen([*argv, *sessions], stdout=subprocess.PIPE) as readers:
        assert readers.stdout is not None
        readers.stdout.readline()
        for number in range(ROUNDS):
            start = _rotate(platform, kind, f"v-{number:08}")
            seen = json.loads(readers.stdout.readline())
            told += (at - start for at in seen["told"])
            replaced += (at - start for at in seen["replaced"])
            time.sleep(PAUSE_SECONDS)
    return told, replaced


def _read(runtime: Path, count: int, sessions: list[str]) -> None:
    """Be the process of the readers: a line when ready, and one for each rotation."""
    readers = Readers(runtime, sessions)
    print("ready", flush=True)
    for _ in range(ROUNDS):
        readers.until_all(count)
        seen = {
            "told": list(readers.told.values()),
            "replaced": list(readers.replaced.values()),
        }
        readers.told.clear()
        readers.replaced.clear()
        print(json.dumps(seen), flush=True)


def _measure_streams(
    kind: str, place: Path, platform: PlatformThread, sessions: list[str]
) -> list[float]:
    told: list[float] = []
    key_file = str(place / "key")
    argv = [sys.executable, __file__, kind, platform.url, key_file, *sessions]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as streams:
        assert streams.stdout is not None
        streams.stdout.readline()
        for number in range(ROUNDS):
            start = _rotate(platform, EVERYONES, f"w-{number:08}")
            told += (at - start for at in json.loads(streams.stdout.readline()))
            time.sleep(PAUSE_SECONDS)
    return told


def _stream(url: str, key: str, sessions: list[str]) -> None:
    """Be the process of the bare streams."""
    streams = Streams(url, key, sessions)
    print("ready", flush=True)
    for _ in range(ROUNDS):
        streams.until_all(len(sessions))
        print(json.dumps(list(streams.told.values())), flush=True)
        streams.told.clear()


def _rotate(platform: PlatformThread, kind: str, value: str) -> float:
    """Send a value that is stored already; return when."""
    _store(platform, kind, value)
    session_id = "s0" if kind == ONES else None
    start = time.perf_counter()
    platform.send_update(session_id, **{f"{kind.upper()}_TOKEN": value})
    return start


def _store(platform: PlatformThread, kind: str, value: str) -> None:
    project = "p-s0" if kind == ONES else ""
    platform.set_credential(kind, f"{kind.upper()}_TOKEN", value, project=project)


def _row(name: str, seconds: list[float]) -> dict[str, object]:
    cuts = statistics.quantiles(seconds, n=100)
    return {
        "what": name,
        "n": len(seconds),
        "p50_ms": round(cuts[49] * 1000, 3),
        "p99_ms": round(cuts[98] * 1000, 3),
        "max_ms": round(max(seconds) * 1000, 3),
    }


async def main(counts: list[int], *, directory: str, has_hook: bool) -> None:
    """Print one JSON line a measurement; a floor before what it is the floor of."""
    for count in counts:
        with tempfile.TemporaryDirectory(dir=directory) as name:
            place = Path(name)
            with running_platform(ServerSettings(keepalive_seconds=3600)) as platform:
                for kind in (EVERYONES, ONES):
                    _store(platform, kind, "value-start")
                key = place / "key"
                key.write_text(platform.add_key())
                key.chmod(0o600)
                sessions = [f"s{number}" for number in range(count)]
                hops, writes = await anyio.to_thread.run_sync(_floor, place)
                events = {
                    kind: await anyio.to_thread.run_sync(
                        _measure_streams, kind, place, platform, sessions
                    )
                    for kind in (BARE, HTTPX)
                }
                rotations = await anyio.to_thread.run_sync(
                    _measure, place, platform, sessions, has_hook
                )
            rows = {
                "floor: socket": hops,
                "floor: file": writes,
                f"floor: {count} bare streams": events[BARE],
                f"floor: {count} streams of httpx": events[HTTPX],
            }
            for kind, (told, replaced) in rotations.items():
                who = "the one" if kind == ONES else "all"
                rows[f"{count} sessions, {who} rotated: client told"] = told
                rows[f"{count} sessions, {who} rotated: file replaced"] = replaced
            for name, seconds in rows.items():
                print(json.dumps(_row(name, seconds)))


if __name__ == "__main__" and sys.argv[1:2] == ["--readers"]:
    _read(Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
elif __name__ == "__main__" and sys.argv[1:2] == [BARE]:
    _stream(sys.argv[2], Path(sys.argv[3]).read_text(), sys.argv[4:])
elif __name__ == "__main__" and sys.argv[1:2] == [HTTPX]:
    anyio.run(_read_httpx, sys.argv[2], Path(sys.argv[3]).read_text(), sys.argv[4:])
elif __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("counts", nargs="*", type=int, default=[1, 50, 200])
    parser.add_argument("--on", default=TMPFS, help="where the files are")
    parser.add_argument("--hook", action="store_true")
    asked = parser.parse_args()
    anyio.run(partial(main, asked.counts, directory=asked.on, has_hook=asked.hook))
