"""A database full of hosts and history, written in bulk: what a fleet leaves in a year."""

import json
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import URL, Engine, Table, create_engine, insert

from rensei_platform.sealing import Sealer
from rensei_platform.store.tables import hosts, mutations, workers
from rensei_platform.tokens import Tokens

BIN = Path(sys.executable).parent
ORG = "org_bench"
BATCH = 10_000
HASH = "3e84b12222b44638219bc0e733d4bd05e8c761810a716ae9296c44c927759a6b"
NOW = datetime.now(UTC).replace(microsecond=0)


@dataclass(frozen=True, slots=True)
class World:
    """A database, and what speaks to it."""

    url: str
    master_key: Path
    key: str
    tokens: list[tuple[str, str]]
    """(worker, its token) of each host."""


def program(*arguments: object) -> list[str]:
    """Return a command line of the control plane."""
    return [str(BIN / "rensei-platform"), *map(str, arguments)]


def make_world(
    url: URL, directory: Path, host_count: int, history: int, *, spread: int
) -> World:
    """Create the database with hosts, and decided mutations of the first `spread`."""
    text = url.render_as_string(hide_password=False)
    master_key = directory / "master.key"
    arguments = ("--database", text, "--master-key", master_key)
    init = program("init", *arguments, "--json", "--org", "Bench", "--org-id", ORG)
    made = subprocess.run(
        [*init, "--owner", "a@bench.test"], check=True, capture_output=True
    )
    key = json.loads(made.stdout)["key"]
    driver = "sqlite" if url.drivername == "sqlite" else "postgresql+psycopg"
    engine = create_engine(url.set(drivername=driver))
    with engine.connect() as db:
        key_id = db.exec_driver_sql("SELECT id FROM keys").scalar_one()
    last_seq = history // spread
    fill(engine, hosts, (_host(number, last_seq) for number in range(host_count)))
    fill(engine, workers, (_worker(number, key_id) for number in range(host_count)))
    fill(engine, mutations, (_mutation(number, spread) for number in range(history)))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db:
        db.exec_driver_sql("ANALYZE")
    engine.dispose()
    issuer = Tokens(Sealer.from_file(master_key), timedelta(hours=6))
    tokens = [
        (f"wkr_{n}", issuer.issue(f"wkr_{n}", ORG, key_id, f"jti_{n}", NOW)[0])
        for n in range(host_count)
    ]
    return World(text, master_key, key, tokens)


def fill(engine: Engine, table: Table, rows: Iterable[dict[str, Any]]) -> None:
    """Insert rows in batches."""
    source = iter(rows)
    with engine.begin() as db:
        while batch := list(islice(source, BATCH)):
            db.execute(insert(table), batch)


def _host(number: int, last_seq: int) -> dict[str, Any]:
    return {
        "id": f"host_{number}",
        "org_id": ORG,
        "hostname": f"build-{number:06}",
        "machine_id": f"mid_{number}",
        "created_at": NOW,
        "last_seq": last_seq,
        "max_sessions": 4,
        "allowlist_hash": HASH,
    }


def _worker(number: int, key_id: str) -> dict[str, Any]:
    return {
        "id": f"wkr_{number}",
        "host_id": f"host_{number}",
        "org_id": ORG,
        "key_id": key_id,
        "created_at": NOW,
    }


def _mutation(number: int, spread: int) -> dict[str, Any]:
    return {
        "host_id": f"host_{number % spread}",
        "seq": number // spread + 1,
        "id": f"dmut_{number:024}",
        "org_id": ORG,
        "op": "project.enable",
        "params": {"id": f"proj_{number % 97}"},
        "size": 16,
        "status": "applied",
        "requested_by": "a@bench.test",
        "key_id": "key_none",
        "created_at": NOW,
        "delivered_at": NOW,
        "decided_at": NOW,
    }


@dataclass(frozen=True, slots=True)
class Serving:
    """A running server."""

    port: int
    pid: int
    seconds: float
    """From its start until it was ready."""

    def cpu_seconds(self) -> float:
        """Return the processor time that it has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100

    def resident_mib(self) -> float:
        """Return the memory that it uses."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        raise AssertionError(self.pid)


@contextmanager
def serving(world: World, directory: Path) -> Iterator[Serving]:
    """Serve a world while the block runs."""
    ready = directory / "ready"
    ready.unlink(missing_ok=True)
    command = program("serve", "--database", world.url, "--master-key", world.master_key)
    with running([*command, "--port", "0", "--ready-file", str(ready)], ready) as found:
        yield found


@contextmanager
def running(command: list[str], ready: Path) -> Iterator[Serving]:
    """Run a server that writes its URL when it listens."""
    begun = time.perf_counter()
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            while not ready.exists():
                assert process.poll() is None, command
                time.sleep(0.005)
            seconds = time.perf_counter() - begun
            port = urlsplit(ready.read_text()).port
            assert port is not None
            yield Serving(port, process.pid, seconds)
        finally:
            process.kill()
