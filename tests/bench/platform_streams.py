"""What an open stream costs the control plane, and how soon all of them hear a rotation.

A server of its own process on an embedded database, and raw connections that stay open.
Memory is the growth of VmRSS of /proc while the streams are opened, after a first few that
warm it up; the rotation is timed from the request to the last stream's event, beside a
bare asyncio server that writes the same bytes to as many connections. Run it alone:
`.venv-dev/bin/python tests/bench/platform_streams.py [STREAMS]`.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from host_rows.ending import leaving_nothing
from platform_load.rows import Row, report

BIN = Path(sys.executable).parent
STREAMS = int(sys.argv[1]) if len(sys.argv) > 1 else 2_000
WARM = 50
AT_ONCE = 100
ORG = "org_bench"
MOST_KIB = 10.0
"""Of a stream; measured 4.2."""
MOST_RATIO = 3.0
"""Of the bare server's time, with as many streams as the target names: with few, the
rotation's own transactions are most of the time."""
TARGET_STREAMS = 10_000
MOST_SECONDS = 2.0


def program(*arguments: object) -> list[str]:
    """Return a command line of the control plane."""
    return [str(BIN / "rensei-platform"), *map(str, arguments)]


class Streams:
    """Connections that read events and note when the last of them heard one."""

    def __init__(self, port: int, request: str) -> None:
        self._port, self._request = port, request.encode()
        self._writers: list[asyncio.StreamWriter] = []
        self._readers: list[asyncio.Task[None]] = []
        self.heard = 0
        self.last = 0.0

    async def open(self, count: int) -> None:
        """Open more streams; each has had its first bytes."""
        for begin in range(0, count, AT_ONCE):
            part = min(AT_ONCE, count - begin)
            await asyncio.gather(*(self._open(len(self._readers)) for _ in range(part)))

    async def _open(self, number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(self._request.replace(b"NUMBER", b"%d" % number))
        await reader.readuntil(b": hello\n\n")
        self._writers.append(writer)
        self._readers.append(asyncio.create_task(self._listen(reader)))

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        while await reader.readuntil(b"\n\n"):
            self.heard += 1
            self.last = time.perf_counter()

    async def all_heard(self) -> float:
        """Return when the last stream heard the next event."""
        async with asyncio.timeout(60):
            while self.heard < len(self._readers):  # noqa: ASYNC110 - a bench is no test
                await asyncio.sleep(0.01)
        self.heard = 0
        return self.last

    def close(self) -> None:
        """Close every connection."""
        for task in self._readers:
            task.cancel()
        for writer in self._writers:
            writer.transport.abort()


async def ask(port: int, method: str, path: str, key: str, body: object) -> object:
    """Ask the server, and return its answer's JSON."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    content = json.dumps(body).encode()
    writer.write(
        f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n"
        f"Connection: close\r\nContent-Length: {len(content)}\r\n\r\n".encode()
        + content
    )
    answer = await reader.read()
    writer.close()
    head, _, text = answer.partition(b"\r\n\r\n")
    assert b" 200 " in head.splitlines()[0], answer
    return json.loads(text)


def resident_kib(pid: int) -> int:
    """Return a process's resident memory."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError(pid)


async def measure(port: int, pid: int, key: str) -> tuple[float, float]:
    """Return (KiB a stream, seconds until the last of them heard a rotation)."""
    path = "/api/admin/credentials/github/values"
    await ask(port, "PUT", path, key, {"values": {"TOKEN": "x" * 40}})
    request = (
        "GET /api/daemon/credentials/rotate-stream?sessionId=sess_NUMBER HTTP/1.1\r\n"
        f"Host: localhost\r\nAuthorization: Bearer {key}\r\n\r\n"
    )
    streams = Streams(port, request)
    await streams.open(WARM)
    before = resident_kib(pid)
    await streams.open(STREAMS)
    grown = (resident_kib(pid) - before) / STREAMS
    times = []
    for _ in range(3):
        begun = time.perf_counter()
        rotate = "/api/daemon/credentials/rotate"
        done = await ask(port, "POST", rotate, key, {"orgId": ORG, "kind": "github"})
        assert isinstance(done, dict)
        assert done["sessionCount"] == STREAMS + WARM, done
        times.append(await streams.all_heard() - begun)
    streams.close()
    return grown, min(times)


async def floor() -> float:
    """Return how long a bare server takes to write as much to as many connections."""
    command = [sys.executable, "-c", BARE]
    process = subprocess.Popen(  # noqa: ASYNC220 - nothing else runs
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    )
    with process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            port = int(process.stdout.readline())
            streams = Streams(port, "NUMBER\n")
            await streams.open(STREAMS + WARM)
            times = []
            for _ in range(3):
                begun = time.perf_counter()
                process.stdin.write(b"\n")
                times.append(await streams.all_heard() - begun)
            streams.close()
            return min(times)
        finally:
            process.kill()


BARE = """\
import asyncio, sys, uvloop
async def main():
    writers = []
    async def serve(reader, writer):
        await reader.readline()
        writer.write(b": hello\\n\\n")
        writers.append(writer)
    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    loop = asyncio.get_running_loop()
    def say():
        sys.stdin.readline()
        for writer in writers:
            writer.write(b"event: UPDATE\\ndata: " + b"x" * 150 + b"\\n\\n")
    loop.add_reader(0, say)
    await asyncio.sleep(3600)
uvloop.run(main())
"""


@contextmanager
def serving(place: Path) -> Iterator[tuple[int, int, str]]:
    """Serve a new database; lend (port, process id, the owner's key)."""
    database = f"sqlite:///{place}/platform.db"
    init = program("init", "--database", database, "--json", "--org", "B")
    init += ["--org-id", ORG, "--owner", "a@bench.test"]
    made = subprocess.run(init, check=True, capture_output=True)
    ready = place / "ready"
    serve = program("serve", "--database", database, "--port", 0, "--ready-file", ready)
    with subprocess.Popen(serve, stderr=subprocess.DEVNULL) as process:
        try:
            while not ready.exists():
                time.sleep(0.02)
            port = urlsplit(ready.read_text()).port
            assert port is not None
            yield port, process.pid, json.loads(made.stdout)["key"]
        finally:
            process.kill()


def rows(place: Path) -> Iterator[Row]:
    """Yield what a stream costs, and how soon the last of them hears."""
    with serving(place) as (port, pid, key):
        kib, seconds = asyncio.run(measure(port, pid, key))
    yield Row(
        f"a stream, of {STREAMS}",
        f"{kib:.1f} KiB",
        f"{MOST_KIB:.0f} KiB",
        "growth of VmRSS while they are opened",
        kib <= MOST_KIB,
    )
    bare = asyncio.run(floor())
    is_whole = STREAMS >= TARGET_STREAMS
    yield Row(
        f"a rotation reaches the last of {STREAMS} sessions",
        f"{seconds:.3f} s",
        f"{MOST_SECONDS:.0f} s" + (f", {MOST_RATIO:.0f} x" if is_whole else ""),
        f"bare asyncio server {bare:.3f} s: {seconds / bare:.1f} x",
        seconds < MOST_SECONDS and not (is_whole and seconds > MOST_RATIO * bare),
    )


def main() -> None:
    """Measure, and tell."""
    with tempfile.TemporaryDirectory() as place:
        report("streams", STREAMS, rows(Path(place)))


if __name__ == "__main__":
    with leaving_nothing():
        main()
