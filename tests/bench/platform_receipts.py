"""What the receipt of a rotation costs a fleet, and the reports that it is made of.

Every host has one session, of its own name, and all hosts share one key: the most that a
receipt has to compare. A row that misses its target ends the program with 1.

    .venv-dev/bin/python tests/bench/platform_receipts.py 10000
"""

import http.client
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from host_rows.ending import leaving_nothing
from platform_load.rows import Row, report
from platform_load.world import NOW, ORG, Serving, World, fill, make_world, serving
from platform_numbers import send
from sqlalchemy import URL, create_engine, update

from rensei_platform.store.tables import hosts, presence, session_scopes, uptake

CHECKOUT = Path(__file__).parents[2]
sys.path.append(str(CHECKOUT / "tests/support"))
from postgresql import ROLE, running_postgresql  # noqa: E402

HOSTS = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000
TIMES = 7
SECONDS = 1.0
"""The target of one receipt."""
LATE = 0.1
"""Seconds, of the longest heartbeat beside them: the loop has more to do than to count."""
REPORTS = 100.0
"""A second: each is a durable transaction, and a fleet of 10,000 has reported in 100 s."""


def ask(server: Serving, world: World, method: str, path: str, body: Any = None) -> Any:
    """Return the answer of a call with the owner's key."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    head = {"Authorization": f"Bearer {world.key}", "Content-Type": "application/json"}
    connection.request(method, path, body and json.dumps(body), head)
    answer = connection.getresponse()
    read = answer.read()
    assert answer.status == 200, (answer.status, read[:300])
    return json.loads(read)


def report_all(url: URL) -> None:
    """Write a session of each host, as it was before the rotation."""
    engine = create_engine(url)
    with engine.connect() as db:
        key_id = db.exec_driver_sql("SELECT id FROM keys").scalar_one()
    scope = {"project_id": "", "environment": "", "org_id": ORG, "snapshot_at": NOW}
    counts = {"confirmed": 0, "received": 1, "unknown": 0, "behind": []}
    settled = {"settled_version": 0, "settled_as": "received", "reported_at": NOW}
    for table, row in (
        (session_scopes, {"key_id": key_id, "version": 0, **scope}),
        (uptake, {"key_id": key_id, "org_id": ORG, "version": 0, **counts, **settled}),
    ):
        named = ({**row, "session_id": f"sess_{n}"} for n in range(HOSTS))
        with_host = ({**one, "host_id": f"host_{n}"} for n, one in enumerate(named))
        columns = set(table.c.keys())
        fill(
            engine, table, ({k: one[k] for k in one.keys() & columns} for one in with_host)
        )
    fill(
        engine,
        presence,
        ({"host_id": f"host_{n}", "last_seen_at": NOW} for n in range(HOSTS)),
    )
    with engine.begin() as db:
        db.execute(update(hosts).values(uptake_at=NOW))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db:
        db.exec_driver_sql("ANALYZE")
    engine.dispose()


@contextmanager
def beating(server: Serving, world: World) -> Iterator[list[float]]:
    """Send quiet heartbeats in turn while the block runs; lend how long each took."""
    took: list[float] = []
    is_over = threading.Event()
    worker, token = world.tokens[0]
    path = f"/api/workers/{worker}/heartbeat"
    head = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def beat() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port)
        while not is_over.is_set():
            begun = time.perf_counter()
            connection.request("POST", path, json.dumps({"activeCount": 0}), head)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200, answer.status
            took.append(time.perf_counter() - begun)
        connection.close()

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        yield took
    finally:
        is_over.set()
        thread.join()


def receipts(
    server: Serving, world: World, rotation: str, name: str
) -> tuple[list[Row], Any]:
    """Return how long a receipt takes, what waits for it meanwhile, and the last one."""
    path, took, found = f"/api/admin/rotations/{rotation}", [], None
    with beating(server, world) as quiet:
        time.sleep(1)  # passes time: the floor, without a receipt
    with beating(server, world) as beats:
        for _ in range(TIMES):
            begun = time.perf_counter()
            found = ask(server, world, "GET", path)
            took.append(time.perf_counter() - begun)
    beside = Row(
        f"a heartbeat beside receipts, {name}",
        f"p50 {statistics.median(beats) * 1000:.1f} ms, longest {max(beats) * 1000:.0f} ms",
        f"longest {LATE * 1000:.0f} ms",
        f"without: longest {max(quiet) * 1000:.0f} ms",
        max(beats) < max(LATE, 3 * max(quiet)),
    )
    row = Row(
        f"a receipt of {HOSTS} hosts, {name}",
        f"p50 {statistics.median(took):.2f} s, longest {max(took):.2f} s",
        f"{SECONDS:.0f} s",
        f"{TIMES} in turn",
        max(took) < SECONDS,
    )
    return [row, beside], found


def reports(server: Serving, world: World, version: int, name: str) -> Row:
    """Return how many heartbeats a second bring a new report."""
    consumers = {"confirmed": 0, "received": 1, "unknown": 0}
    requests = []
    for number, (worker, token) in enumerate(world.tokens):
        said = {"id": f"sess_{number}", "version": version, "consumers": consumers}
        body = {"activeCount": 0, "maxSessions": 4, "uptake": [{**said, "behind": []}]}
        path = f"/api/workers/{worker}/heartbeat"
        requests.append(["POST", path, token, json.dumps(body)])
    sent = send(server, requests, connections=16, seconds=120, count=HOSTS)
    rate = sent["count"] / sent["seconds"]
    return Row(
        f"heartbeats with a new report, {name}",
        f"{rate:.0f}/s, p50 {sent['p50']:.1f} ms, p99 {sent['p99']:.1f} ms",
        f"{REPORTS:.0f}/s",
        f"{sent['count']:.0f} on 16 connections",
        rate >= REPORTS,
    )


def rows(url: URL, directory: Path, name: str) -> Iterator[Row]:
    """Yield every row of one database."""
    world = make_world(url, directory, HOSTS, 0, spread=HOSTS)
    driver = "sqlite" if url.drivername == "sqlite" else "postgresql+psycopg"
    report_all(url.set(drivername=driver))
    with serving(world, directory) as server:
        values = {"values": {"TOKEN": "one"}, "projectId": None}
        ask(server, world, "PUT", "/api/admin/credentials/github/values", values)
        body = {"orgId": ORG, "kind": "github"}
        rotated = ask(server, world, "POST", "/api/daemon/credentials/rotate", body)
        rotation = rotated["rotationId"]
        measured, found = receipts(server, world, rotation, f"all behind, {name}")
        assert found["receipt"]["behindCount"] == HOSTS, found["receipt"]["obstacles"]
        yield from measured
        version = found["rotation"]["version"]
        yield reports(server, world, version, name)
        measured, found = receipts(server, world, rotation, f"after the reports, {name}")
        assert found["receipt"]["received"] > HOSTS / 2
        yield from measured


def of_both(place: Path) -> Iterator[Row]:
    """Yield every row of both databases."""
    directories = {name: place / name for name in ("sqlite", "postgresql")}
    for directory in directories.values():
        directory.mkdir()
    url = URL.create("sqlite", database=str(directories["sqlite"] / "platform.db"))
    yield from rows(url, directories["sqlite"], "SQLite")
    with running_postgresql(fsync="on", synchronous_commit="on") as cluster:
        socket = {"host": str(cluster.directory)}
        url = URL.create("postgresql", ROLE, database="postgres", query=socket)
        yield from rows(url, directories["postgresql"], "PostgreSQL")


def main() -> None:
    """Measure, and tell."""
    with tempfile.TemporaryDirectory() as place:
        report("receipts", HOSTS, of_both(Path(place)))


if __name__ == "__main__":
    with leaving_nothing():
        main()
