"""Many hosts through a restart of their server, and through 60 seconds without a database.

Each host beats, holds a stream and takes a snapshot whenever that was opened; it waits as a
daemon does after a failure. Mutations are enqueued all the while, and a new value is
announced when the trouble is over. A row that misses its target ends the program with 1.

    .venv-dev/bin/python tests/bench/platform_trouble.py 10000
"""

import asyncio
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvloop
from host_rows.ending import leaving_nothing
from platform_load.light_hosts import LightHost, Seen
from platform_load.rows import Row, report
from platform_load.world import ORG, Serving, World, make_world, program
from platform_streams import ask
from sqlalchemy import URL, create_engine, select

from rensei_platform.store.tables import mutations

CHECKOUT = Path(__file__).parents[2]
sys.path.append(str(CHECKOUT / "tests/support"))
from postgresql import ROLE, Cluster, running_postgresql  # noqa: E402

HOSTS = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000
INTERVAL = 30.0
OPENED_SECONDS = 60.0
"""Over which the streams are opened at first: no target, but what comes before it."""
GONE_SECONDS = 60.0
LIVE_SECONDS = 90.0
ANSWER_SECONDS = 5.0
PEAK_RATIO = 3.0
MEMORY_MIB = 400
LOG_LINES = 500
PATIENCE_SECONDS = 240.0
ENQUEUED_PER_SECOND = 10
LOOK_SECONDS = 0.25


class Server:
    """A server on one port that is started more than once, and what it logs."""

    def __init__(self, world: World, directory: Path) -> None:
        self._world, self._ready = world, directory / "ready"
        self._log = directory / "log"
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = int(free.getsockname()[1])
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Start it, and wait until it listens."""
        self._ready.unlink(missing_ok=True)
        command = program("serve", "--database", self._world.url, "--port", self.port)
        command += ["--master-key", str(self._world.master_key)]
        command += ["--ready-file", str(self._ready)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: ASYNC220 - it takes a moment
                command, stderr=log, stdout=log
            )
        while not self._ready.exists():
            assert self._process.poll() is None, self._log.read_text()[-2000:]
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """Stop it as systemd does, and wait for its end."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(self._process.wait)

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def memory_mib(self) -> float:
        """Return the memory that it uses."""
        assert self._process is not None
        return Serving(self.port, self._process.pid, 0).resident_mib()

    def logged(self) -> tuple[int, int]:
        """Return how many lines it has logged, and how many tracebacks begin in them."""
        lines = self._log.read_text(errors="replace").splitlines()
        return len(lines), sum("Traceback" in line for line in lines)


@dataclass
class Fleet:
    """The hosts, and what they are asked."""

    server: Server
    world: World
    seen: Seen = field(default_factory=Seen)
    hosts: list[LightHost] = field(default_factory=list)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    enqueued: list[str] = field(default_factory=list)
    newest: int = 0
    """The version of the last rotation."""

    def start(self) -> None:
        """Start all hosts, spread over some time."""
        for number, token in enumerate(self.world.tokens):
            port, key = self.server.port, self.world.key
            host = LightHost(port, number, token, key, self.seen)
            self.hosts.append(host)
            self.tasks.append(asyncio.create_task(host.beat(INTERVAL)))
            self.tasks.append(asyncio.create_task(host.listen(OPENED_SECONDS)))
        self.tasks.append(asyncio.create_task(self._enqueue()))

    async def until_all(self, question: Callable[[LightHost], bool]) -> float | None:
        """Return when all hosts were first found so. None if that takes too long."""
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until:
            if all(map(question, self.hosts)):
                return time.monotonic()
            await asyncio.sleep(LOOK_SECONDS)
        return None

    def described(self) -> str:
        """Return how many hosts have what."""
        hosts = self.hosts
        return (
            f"of {len(hosts)} hosts {sum(h.beat_at > 0 for h in hosts)} have beaten, "
            f"{sum(h.stream is not None for h in hosts)} listen, "
            f"{sum(h.snapshot_at > 0 for h in hosts)} have values; {self.seen}"
        )

    async def rotate(self) -> None:
        """Announce a new value, and note its version."""
        values = {"values": {"TOKEN": str(random.random())}}  # noqa: S311 - no secret
        await self._insist("PUT", "/api/admin/credentials/github/values", values)
        body = {"orgId": ORG, "kind": "github"}
        done = await self._insist("POST", "/api/daemon/credentials/rotate", body)
        path = f"/api/admin/rotations/{done['rotationId']}"
        self.newest = (await self._insist("GET", path, None))["rotation"]["version"]

    async def _enqueue(self) -> None:
        """Ask hosts for changes, for ever; each until it is answered with its id."""
        while True:
            number = random.randrange(HOSTS)  # noqa: S311 - no secret
            body = {"workerHostId": f"host_{number}", "op": "project.enable"}
            named = {**body, "params": {"id": f"proj_{len(self.enqueued)}"}}
            done = await self._insist("POST", "/api/daemon/mutations", named)
            self.enqueued.append(done["mutation"]["id"])
            await asyncio.sleep(1 / ENQUEUED_PER_SECOND)

    async def _insist(self, method: str, path: str, body: object) -> Any:
        """Return the answer of a call, asked until it is one."""
        while True:
            try:
                return await ask(self.server.port, method, path, self.world.key, body)
            except (OSError, AssertionError, IndexError, asyncio.IncompleteReadError):
                await asyncio.sleep(0.5)

    async def settle(self) -> int:
        """Enqueue no more; return how many mutations have no outcome in the end."""
        self.tasks.pop().cancel()
        left, until = len(self.enqueued), time.monotonic() + PATIENCE_SECONDS
        while left and time.monotonic() < until:
            await asyncio.sleep(1)
            left = await asyncio.to_thread(self._undecided)
        return left

    def _undecided(self) -> int:
        engine = create_engine(synchronous(self.world.url))
        with engine.connect() as db:
            rows = db.execute(select(mutations.c.id, mutations.c.status)).all()
        engine.dispose()
        applied = {row.id for row in rows if row.status == "applied"}
        return len(set(self.enqueued) - applied)

    def close(self) -> None:
        """Stop all hosts."""
        for task in self.tasks:
            task.cancel()


def synchronous(text: str) -> str:
    """Return a database's URL with the driver that waits."""
    return text.replace("postgresql://", "postgresql+psycopg://")


# ---- what happens ------------------------------------------------------------------------

Trouble = Callable[[Fleet], Awaitable[None]]


async def restarted(fleet: Fleet) -> None:
    """Stop the server as systemd does, and start it again."""
    await fleet.server.stop()
    await fleet.server.start()


def without(cluster: Cluster) -> Trouble:
    """Return: stop PostgreSQL for a minute."""

    async def happen(_: Fleet) -> None:
        await asyncio.to_thread(cluster.stop)
        await asyncio.sleep(GONE_SECONDS)
        await asyncio.to_thread(cluster.start)

    return happen


async def measure(fleet: Fleet, name: str, trouble: Trouble) -> list[Row]:
    """Have a trouble happen to a fleet that is well; return what it did."""
    fleet.start()
    well = await fleet.until_all(lambda host: host.is_live(0.1))
    assert well is not None, fleet.described()
    await fleet.rotate()
    await asyncio.sleep(INTERVAL)
    fleet.seen.clear()
    await trouble(fleet)
    over = time.monotonic()
    await fleet.rotate()
    live = await fleet.until_all(lambda host: host.is_live(over))
    held = await fleet.until_all(lambda host: host.version >= fleet.newest)
    settled = over + 4 * INTERVAL
    await asyncio.sleep(max(0.0, settled - time.monotonic()))
    second = range(int(over + INTERVAL) + 1, int(settled))
    rates = [fleet.seen.arrivals[one] for one in second]
    enqueued, lost = len(fleet.enqueued), await fleet.settle()
    return [
        _time(f"{name}: every host beats, listens and has values again", over, live),
        _time(f"{name}: every session has the value that was announced then", over, held),
        *_answers(name, fleet.seen, rates),
        Row(
            f"{name}: mutations without an outcome",
            f"{lost} of {enqueued}",
            "0",
            f"{ENQUEUED_PER_SECOND} a second, each until it was answered",
            lost == 0 < enqueued,
        ),
        _left(name, fleet.server),
    ]


def _time(what: str, over: float, found: float | None) -> Row:
    seconds = None if found is None else found - over
    said = f"after {seconds:.1f} s" if seconds is not None else "never"
    passed = seconds is not None and seconds < LIVE_SECONDS
    return Row(what, said, f"{LIVE_SECONDS:.0f} s", f"{HOSTS} hosts", passed)


def _answers(name: str, seen: Seen, rates: list[int]) -> Iterator[Row]:
    refused = f"{seen.refused} were 503, {seen.without_wait} without Retry-After"
    yield Row(
        f"{name}: the longest answer",
        f"{seen.longest:.2f} s",
        f"{ANSWER_SECONDS:.0f} s",
        f"{refused}; {seen.unanswered} requests met no server",
        seen.longest < ANSWER_SECONDS and not seen.without_wait,
    )
    mean = statistics.mean(rates)
    yield Row(
        f"{name}: arrivals a second after the first interval",
        f"at most {max(rates)}: {max(rates) / mean:.1f} x their mean",
        f"{PEAK_RATIO:.0f} x",
        f"mean {mean:.0f}",
        max(rates) < PEAK_RATIO * mean,
    )


def _left(name: str, server: Server) -> Row:
    memory, (lines, tracebacks) = server.memory_mib(), server.logged()
    return Row(
        f"{name}: what the server uses and has logged in the end",
        f"{memory:.0f} MiB, {lines} lines, {tracebacks} tracebacks",
        f"{MEMORY_MIB} MiB, {LOG_LINES} lines, none",
        "from its first start",
        memory < MEMORY_MIB and lines < LOG_LINES and not tracebacks,
    )


async def through(world: World, directory: Path, name: str, trouble: Trouble) -> list[Row]:
    """Serve a world to its hosts, and have a trouble happen."""
    server = Server(world, directory)
    await server.start()
    fleet = Fleet(server, world)
    try:
        return await measure(fleet, name, trouble)
    finally:
        fleet.close()
        server.kill()


def rows(place: Path) -> Iterator[Row]:
    """Yield every row."""
    directories = {name: place / name for name in ("sqlite", "postgresql")}
    for directory in directories.values():
        directory.mkdir()
    at = directories["sqlite"]
    url = URL.create("sqlite", database=str(at / "platform.db"))
    world = make_world(url, at, HOSTS, 0, spread=HOSTS)
    yield from uvloop.run(through(world, at, "restart, SQLite", restarted))
    with running_postgresql(fsync="on", synchronous_commit="on") as cluster:
        at, query = directories["postgresql"], {"host": str(cluster.directory)}
        url = URL.create("postgresql", ROLE, database="postgres", query=query)
        world = make_world(url, at, HOSTS, 0, spread=HOSTS)
        gone = f"no database for {GONE_SECONDS:.0f} s, PostgreSQL"
        yield from uvloop.run(through(world, at, gone, without(cluster)))


def main() -> None:
    """Measure, and tell."""
    with tempfile.TemporaryDirectory() as place:
        report("trouble", HOSTS, rows(Path(place)))


if __name__ == "__main__":
    with leaving_nothing():
        main()
