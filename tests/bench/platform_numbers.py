"""What the control plane can carry, beside the least that the machine could ask for it.

Every server is a process of its own, and so is what sends the requests; the floor of a
heartbeat is a bare ASGI application that answers as many bytes, in the same run. A row that
misses its target ends the program with 1.

    make bench-platform                 # 1,000 hosts, 100,000 mutations
    make bench-platform HOSTS=10000     # 10,000 hosts, 1,000,000 mutations
    ... WRITE=1                         # each its part of docs/platform-performance.md
"""

import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from host_rows.ending import leaving_nothing
from platform_load.rows import Row, report
from platform_load.world import HASH, ORG, Serving, World, make_world, running, serving
from platform_streams import Streams, ask
from sqlalchemy import URL

CHECKOUT = Path(__file__).parents[2]
sys.path.append(str(CHECKOUT / "tests/support"))
from postgresql import ROLE, running_postgresql  # noqa: E402

HOSTS = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000
EACH = 100
"""Mutations of a host."""
HISTORY = HOSTS * EACH
SECONDS = 10
PACED_SECONDS = 45
INTERVAL = 30
CONNECTIONS = 16
ASKED = 300
RETURNS_PER_SECOND = 500
"""Three times what 10,000 sessions ask that come back within a minute."""
SENDERS = Path(__file__).parent / "platform_load/senders.py"
BEAT = {
    "status": "idle",
    "activeCount": 0,
    "maxSessions": 4,
    "load": {"cpu": 3.1, "memory": 41.0},
    "loadAverage": {"one": 0.1, "five": 0.2, "fifteen": 0.2},
    "allowlistHash": HASH,
}
BARE = """\
import sys, uvicorn
async def app(scope, receive, send):
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"application/json"), (b"content-length", b"180")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"x" * 180})
config = uvicorn.Config(app, port=0, lifespan="off", log_level="error", http="httptools")
server, listener = uvicorn.Server(config), config.bind_socket()
with open(sys.argv[1], "w") as ready:
    ready.write(f"http://127.0.0.1:{listener.getsockname()[1]}")
server.run(sockets=[listener])
"""
Sent = dict[str, float]


def send(server: Serving, requests: list[list[str]], **how: Any) -> Sent:
    """Have requests sent by another process; return what it saw."""
    asked = json.dumps({"port": server.port, "requests": requests, **how})
    command = [sys.executable, str(SENDERS)]
    done = subprocess.run(command, input=asked, capture_output=True, text=True, check=True)
    sent: Sent = json.loads(done.stdout)
    assert not sent["failed"], sent
    return sent


def beats(world: World) -> list[list[str]]:
    """Return a heartbeat of every host."""
    body = json.dumps(BEAT, separators=(",", ":"))
    return [
        ["POST", f"/api/workers/{worker}/heartbeat", token, body]
        for worker, token in world.tokens
    ]


# ---- rows --------------------------------------------------------------------------------


def sustained(name: str, world: World, directory: Path) -> Row:
    """How many heartbeats a second, and the processor's time for one."""
    with serving(world, directory) as server:
        rate, cost = _flat_out(server, beats(world))
    with _bare(directory) as server:
        bare_rate, bare_cost = _flat_out(server, beats(world))
    return Row(
        f"heartbeats sustained, {name}",
        f"{rate:.0f}/s, {cost:.2f} ms of a core each",
        "1,000/s",
        f"bare ASGI server {bare_rate:.0f}/s, {bare_cost:.2f} ms: {cost / bare_cost:.1f} x",
        rate >= 1000,
    )


def _flat_out(server: Serving, requests: list[list[str]]) -> tuple[float, float]:
    send(server, requests, connections=CONNECTIONS, seconds=1)
    before = server.cpu_seconds()
    sent = send(server, requests, connections=CONNECTIONS, seconds=SECONDS)
    cost = 1000 * (server.cpu_seconds() - before) / sent["count"]
    return sent["count"] / sent["seconds"], cost


def returns(name: str, world: World, directory: Path) -> Row:
    """How many sessions a second take their first snapshot, each noted durably."""
    path = "/api/daemon/credentials/snapshot"
    bodies = [
        json.dumps({"orgId": ORG, "sessionId": f"sess_{number}"}) for number in range(HOSTS)
    ]
    requests = [["POST", path, world.key, body] for body in bodies]
    with serving(world, directory) as server:
        put = "/api/admin/credentials/github/values"
        values = {"values": {"TOKEN": "x" * 40}}
        asyncio.run(ask(server.port, "PUT", put, world.key, values))
        before = server.cpu_seconds()
        how = {"connections": 3 * CONNECTIONS, "seconds": 60, "count": HOSTS}
        sent = send(server, requests, **how)
        cost = 1000 * (server.cpu_seconds() - before) / sent["count"]
    with _bare(directory) as server:
        _, bare_cost = _flat_out(server, requests)
    rate = sent["count"] / sent["seconds"]
    return Row(
        f"first snapshots of {HOSTS} sessions, {name}",
        f"{rate:.0f}/s, {cost:.2f} ms of a core each",
        f"{RETURNS_PER_SECOND}/s",
        f"bare ASGI server {bare_cost:.2f} ms: {cost / bare_cost:.1f} x; "
        f"p99 {sent['p99']:.0f} ms",
        rate >= RETURNS_PER_SECOND,
    )


def fleet(world: World, directory: Path) -> Row:
    """Every host beats by the clock, and every host has a stream open."""
    with serving(world, directory) as server:
        sent, share = asyncio.run(_fleet(server, world))
        memory = server.resident_mib()
    return Row(
        f"{HOSTS} hosts at {INTERVAL} s and {HOSTS} streams, SQLite",
        f"p50 {sent['p50']:.1f} ms, p99 {sent['p99']:.1f} ms, {share:.0%} of a core, "
        f"{memory:.0f} MiB",
        "p99 50 ms, 50 %, 400 MiB",
        f"{sent['count']:.0f} heartbeats in {PACED_SECONDS} s, a connection each",
        sent["p99"] < 50 and share < 0.5 and memory < 400,
    )


async def _fleet(server: Serving, world: World) -> tuple[Sent, float]:
    path = "/api/daemon/credentials/rotate-stream?sessionId=sess_NUMBER"
    head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
    streams = Streams(server.port, f"{head}Authorization: Bearer {world.key}\r\n\r\n")
    await streams.open(HOSTS)
    before = server.cpu_seconds()
    how = {"interval": INTERVAL, "seconds": PACED_SECONDS}
    sent = await asyncio.to_thread(send, server, beats(world), **how)
    share = (server.cpu_seconds() - before) / sent["seconds"]
    streams.close()
    return sent, share


def histories(full: World, empty: World, directory: Path) -> Iterator[Row]:
    """A heartbeat, a list and an enqueue beside the same with an empty history."""
    with serving(full, directory) as loaded, serving(empty, directory) as bare:
        yield Row(
            f"start with {HISTORY} mutations",
            f"{loaded.seconds:.2f} s to ready",
            "2 s",
            f"empty database {bare.seconds:.2f} s",
            loaded.seconds < 2,
        )
        calls: dict[str, Callable[[World], list[list[str]]]] = {
            "a heartbeat": beats,
            "a list of 100": _lists,
            "an enqueue": _enqueues,
        }
        for name, requests in calls.items():
            slow, fast = _medians(loaded, requests(full), bare, requests(empty))
            yield Row(
                f"{name}, {HISTORY} mutations",
                f"{slow:.2f} ms",
                "2 x the empty database's",
                f"empty {fast:.2f} ms: {slow / fast:.2f} x",
                slow < 2 * fast,
            )


def _medians(
    one: Serving, asked_one: list[list[str]], other: Serving, asked_other: list[list[str]]
) -> tuple[float, float]:
    """Return the best of three medians of each, measured in turns."""
    how = {"connections": 1, "seconds": 60, "count": ASKED}
    turns = [
        (send(one, asked_one, **how)["p50"], send(other, asked_other, **how)["p50"])
        for _ in range(3)
    ]
    return min(turn[0] for turn in turns), min(turn[1] for turn in turns)


def _lists(world: World) -> list[list[str]]:
    path = "/api/daemon/mutations?workerHostId=host_0"
    return [["GET", path, world.key, ""]]


def _enqueues(world: World) -> list[list[str]]:
    return [
        ["POST", "/api/daemon/mutations", world.key, json.dumps(_enqueue(number))]
        for number in range(HOSTS)
    ]


def _enqueue(number: int) -> dict[str, Any]:
    return {
        "workerHostId": f"host_{number}",
        "op": "project.enable",
        "params": {"id": "proj_a"},
    }


@contextmanager
def _bare(directory: Path) -> Iterator[Serving]:
    ready = directory / "bare"
    ready.unlink(missing_ok=True)
    with running([sys.executable, "-c", BARE, str(ready)], ready) as server:
        yield server


# ---- the run -----------------------------------------------------------------------------


def rows(place: Path) -> Iterator[Row]:
    """Yield every row, measured."""
    directories = {name: place / name for name in ("full", "empty", "postgresql")}
    for directory in directories.values():
        directory.mkdir()
    # One host alone has a history there, as long as each has in the other database.
    empty = make_world(
        _sqlite(directories["empty"]), directories["empty"], HOSTS, EACH, spread=1
    )
    yield sustained("SQLite", empty, place)
    yield returns("SQLite", empty, place)
    yield fleet(empty, place)
    with running_postgresql(fsync="on", synchronous_commit="on") as cluster:
        socket = {"host": str(cluster.directory)}
        url = URL.create("postgresql", ROLE, database="postgres", query=socket)
        world = make_world(url, directories["postgresql"], HOSTS, 0, spread=HOSTS)
        yield sustained("PostgreSQL", world, place)
        yield returns("PostgreSQL", world, place)
    full = make_world(
        _sqlite(directories["full"]), directories["full"], HOSTS, HISTORY, spread=HOSTS
    )
    yield from histories(full, empty, place)


def _sqlite(directory: Path) -> URL:
    return URL.create("sqlite", database=str(directory / "platform.db"))


def main() -> None:
    """Measure, and tell."""
    with tempfile.TemporaryDirectory() as place:
        report("numbers", HOSTS, rows(Path(place)))


if __name__ == "__main__":
    with leaving_nothing():
        main()
