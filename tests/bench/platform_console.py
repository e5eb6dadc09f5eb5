"""How long the console's pages take beside many hosts and a long history.

Each host has a hundred mutations, or as many as the second argument says; the column
"drift" of the list of hosts reads up to 500 of each, and the hosts of the first pages have
as many in any case. The audit has an entry of each host. Each host has a session, of which
the page of the credentials counts how far it is with 50 rotations.
Pages are asked for one at a time, as one person does. A page whose median misses the target
ends the program with 1; the floor is a page that asks the database for next to nothing, in
the same run.

    .venv-dev/bin/python tests/bench/platform_console.py 10000
"""

import http.client
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

from host_rows.ending import leaving_nothing
from platform_load.rows import Row, report
from platform_load.world import NOW, ORG, Serving, World, fill, make_world, serving
from sqlalchemy import URL, Engine, create_engine, update

from rensei_platform.services.comparison import MOST_COMPARED
from rensei_platform.store.tables import (
    audit,
    hosts,
    mutations,
    presence,
    rotations,
    session_scopes,
    uptake,
)

HOSTS = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000
EACH = int(sys.argv[2]) if len(sys.argv) > 2 else 100
MUTATIONS = EACH * HOSTS
SHOWN = min(HOSTS, 120)
"""Hosts with a whole history: more than two pages of the list."""
TIMES = 15
SECONDS = 0.2
"""The target of a page."""
PAGES = {
    "hosts": "/console/hosts",
    "hosts, a search": "/console/hosts?q=build-0000",
    "hosts, the next page": "next",
    "a host": "/console/hosts/host_0",
    "credentials": "/console/credentials",
    "audit": "/console/audit",
    "audit of one who did nothing": "/console/audit?actor=nobody",
    "keys and users": "/console/access",
}


class Person:
    """Who looks at the console, on one connection."""

    def __init__(self, server: Serving, world: World) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port)
        self._cookie = ""
        head = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Sec-Fetch-Site": "same-origin",
        }
        form = urlencode({"key": world.key})
        self._connection.request("POST", "/console/sign-in", form, head)
        answer = self._connection.getresponse()
        answer.read()
        self._cookie = (answer.headers["set-cookie"] or "").partition(";")[0]

    def open(self, path: str) -> tuple[float, str]:
        """Return how long a page took, and the page."""
        begun = time.perf_counter()
        self._connection.request("GET", path, headers={"Cookie": self._cookie})
        answer = self._connection.getresponse()
        page = answer.read().decode()
        seconds = time.perf_counter() - begun
        assert answer.status == 200, (path, answer.status, page[:300])
        return seconds, page


def fill_more(url: URL) -> None:
    """Write when each host was seen last, and an entry of the audit for each."""
    engine = create_engine(url)
    seen = {"last_seen_at": NOW, "active_count": 1}
    fill(engine, presence, ({"host_id": f"host_{n}", **seen} for n in range(HOSTS)))
    done = {"org_id": ORG, "at": NOW, "actor": "a@bench.test", "action": "mutation.enqueue"}
    more = {"outcome": "ok", "address": "127.0.0.1", **done}
    fill(engine, audit, ({"object": f"dmut_{n}", **more} for n in range(HOSTS)))
    _fill_histories(engine)
    _fill_rotations(engine)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db:
        db.exec_driver_sql("ANALYZE")
    engine.dispose()


def _fill_histories(engine: Engine) -> None:
    """Write as many mutations of the hosts that are shown as the page looks at."""
    row = {"org_id": ORG, "size": 16, "status": "applied", "requested_by": "a@bench.test"}
    times = dict.fromkeys(("created_at", "delivered_at", "decided_at"), NOW)
    fill(
        engine,
        mutations,
        (
            {
                "host_id": f"host_{n}",
                "seq": seq,
                "id": f"dmut_more_{n}_{seq}",
                "op": ("project.enable", "project.disable")[seq % 2],
                "params": {"id": f"proj_{(n + seq) % 97}"},
                **row,
                **times,
            }
            for seq in range(EACH + 1, MOST_COMPARED + 1)
            for n in range(SHOWN)
        ),
    )
    with engine.begin() as db:
        shown = hosts.c.id.in_([f"host_{n}" for n in range(SHOWN)])
        longest = max(EACH, MOST_COMPARED)
        db.execute(update(hosts).where(shown).values(last_seq=longest))


def _fill_rotations(engine: Engine) -> None:
    """Write a session of each host in one of ten projects, and rotations."""
    with engine.connect() as db:
        key_id = db.exec_driver_sql("SELECT id FROM keys").scalar_one()
    own = {"org_id": ORG, "key_id": key_id}
    scope = {"environment": "production", "snapshot_at": NOW, "version": 50, **own}
    projects = ({"project_id": f"proj_{n % 10}", **scope} for n in range(HOSTS))
    named = ({"session_id": f"sess_{n}", **one} for n, one in enumerate(projects))
    fill(engine, session_scopes, named)
    counts = {"confirmed": 1, "received": 0, "unknown": 0, "behind": []}
    as_said = {"settled_as": "confirmed", "reported_at": NOW, **counts, **own}
    fill(
        engine,
        uptake,
        (
            {
                "host_id": f"host_{n}",
                "session_id": f"sess_{n}",
                "version": 50 - n % 3,
                "settled_version": 50 - n % 3,
                **as_said,
            }
            for n in range(HOSTS)
        ),
    )
    done = {"org_id": ORG, "requested_by": "a@bench.test", "rotated_at": NOW}
    times = {"session_count": HOSTS, "duration_ms": 40}
    fill(
        engine,
        rotations,
        (
            {"version": n, "id": f"rot_{n}", "kind": f"kind_{n % 5}", **done, **times}
            for n in range(1, 61)
        ),
    )


def rows(person: Person, server: Serving) -> Iterator[Row]:
    """Yield a row for each page."""
    floor = statistics.median(person.open("/console/account")[0] for _ in range(TIMES))
    _, first = person.open("/console/hosts")
    found = re.search(r'href="(/console/hosts\?[^"]*after[^"]*)"', first)
    assert found is not None, "there is no next page"
    following = found[1].replace("&amp;", "&")
    for name, path in PAGES.items():
        at = following if path == "next" else path
        before = server.cpu_seconds()
        taken = [person.open(at)[0] for _ in range(TIMES)]
        used = (server.cpu_seconds() - before) / TIMES
        median = statistics.median(taken)
        yield Row(
            f"console, {name}",
            f"p50 {median * 1000:.0f} ms, max {max(taken) * 1000:.0f} ms, "
            f"{used * 1000:.0f} ms of a core",
            f"{SECONDS * 1000:.0f} ms",
            f"a person's own page {floor * 1000:.1f} ms",
            median < SECONDS,
        )


def measured(place: Path) -> Iterator[Row]:
    """Yield every row of a new database."""
    url = URL.create("sqlite", database=str(place / "platform.db"))
    world = make_world(url, place, HOSTS, MUTATIONS, spread=HOSTS)
    fill_more(url)
    with serving(world, place) as server:
        yield from rows(Person(server, world), server)


def main() -> None:
    """Measure, and tell."""
    with tempfile.TemporaryDirectory() as place:
        report("console", HOSTS, measured(Path(place)))


if __name__ == "__main__":
    with leaving_nothing():
        main()
