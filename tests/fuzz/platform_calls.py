"""Every call of the control plane, right and wrong, as its OpenAPI document has it.

schemathesis makes the requests, out of a venv of its own; the server is a real one, on
SQLite and then on PostgreSQL. It must never answer 500, nor with a status, a header, a
content type or a shape that the document lacks; it accepts what the document says is right
and refuses what it says is wrong, and no call works without its key.

    make fuzz-platform             # FUZZ_SECONDS=60, for each database
    SEED=12 make fuzz-platform
"""

import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio

CHECKOUT = Path(__file__).parents[2]
sys.path.append(str(CHECKOUT / "tests/support"))

from platform_server import ORG, Server, Worker, running, sqlite_url  # noqa: E402
from postgresql import ROLE, running_postgresql  # noqa: E402
from program_end import leaving_nothing  # noqa: E402
from sqlalchemy import URL  # noqa: E402

from rensei_platform.services.limits import WINDOW_SECONDS, FailureLimiter  # noqa: E402
from rensei_platform.settings import ServerSettings  # noqa: E402

SCHEMATHESIS = CHECKOUT / ".venv-fuzz/bin/schemathesis"
KINDS = ("github", "npm")
MUTATIONS = 50
STREAM_SECONDS = 0.05
"""How long a rotate stream lives here: it has no end of its own."""


async def fuzz(url: URL, directory: Path, seconds: int, seed: str) -> bool:
    """Whether nothing is wrong with a server on this database."""
    print(f"== {url.get_backend_name()}", flush=True)
    secrets = directory / "secrets"
    secrets.mkdir()
    (secrets / "TOKEN").write_text("value of a file")
    files = {"type": "file", "directory": str(secrets), "allow": {ORG: ""}}
    settings = ServerSettings(providers={"files": files})
    async with running(url, directory / "key", settings) as server, _short_streams(server):
        _without_limit(server)
        worker = await server.register()
        world, config = directory / "world.json", directory / "schemathesis.toml"
        world.write_text(json.dumps(await _world(server, worker)))
        config.write_text(_config(server, worker, seconds))
        document = f"{server.url}/openapi.json"
        done = await anyio.run_process(
            [SCHEMATHESIS, "--config-file", config, "run", document, "--seed", seed],
            env={**os.environ, "WORLD": str(world)},
            cwd=directory,
            stdout=None,
            stderr=None,
            check=False,
        )
    return done.returncode == 0


async def _world(server: Server, worker: Worker) -> dict[str, Any]:
    for kind in KINDS:
        path = f"/api/admin/credentials/{kind}/values"
        await server.ok("PUT", path, {"values": {f"{kind.upper()}_TOKEN": "a value"}})
    mutations = [await worker.enqueue() for _ in range(MUTATIONS)]
    (key,) = (await server.ok("GET", "/api/admin/keys"))["keys"]
    return {
        "org": [ORG],
        "worker": [worker.id],
        "host": [worker.host_id],
        "mutations": mutations,
        "kinds": KINDS,
        "providers": ["database", "files"],
        "key_id": key["id"],
    }


def _config(server: Server, worker: Worker, seconds: int) -> str:
    hooks = Path(__file__).parent / "platform_fuzz/hooks.py"
    return f"""
hooks = "{hooks}"
base-url = "{server.url}"
max-time = {seconds}
max-redirects = 0
continue-on-failure = true
request-timeout = 10
warnings = false
[auth.openapi.apiKey]
bearer = "{server.key}"
[auth.openapi.runtimeToken]
bearer = "{worker.token}"
[generation]
database = "none"
[[operations]]
include-operation-id = "bind"
# What a path may be is up to the provider.
checks.positive_data_acceptance.expected-statuses = ["2xx", "4xx"]
[[operations]]
include-operation-id = ["rotate", "snapshot"]
# A kind may be bound to a path that holds nothing: 502, or 503 if there was never a value.
checks.not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", "502", "503"]
"""


def _without_limit(server: Server) -> None:
    """Let wrong keys be refused as such, however many of them come."""
    clock = iter(range(0, sys.maxsize, int(WINDOW_SECONDS)))
    limiter = FailureLimiter(lambda: float(next(clock)))
    object.__setattr__(server.platform, "failures", limiter)


@asynccontextmanager
async def _short_streams(server: Server) -> AsyncIterator[None]:
    async def end() -> None:
        while True:
            await anyio.sleep(STREAM_SECONDS)
            server.platform.hub.end_all()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(end)
        yield
        tasks.cancel_scope.cancel()


async def _fuzz_both(seconds: int, seed: str) -> bool:
    passed = []
    with tempfile.TemporaryDirectory() as place, running_postgresql() as cluster:
        socket = {"host": str(cluster.directory)}
        for name, url in (
            ("sqlite", sqlite_url(Path(place))),
            (
                "postgresql",
                URL.create("postgresql+psycopg", ROLE, database=ROLE, query=socket),
            ),
        ):
            directory = Path(place) / name
            directory.mkdir()
            passed.append(await fuzz(url, directory, seconds, seed))
    return all(passed)


def main() -> None:
    """Fuzz both; exit with 1 if something is wrong."""
    seconds = int(os.environ.get("FUZZ_SECONDS", "60"))
    seed = os.environ.get("SEED") or str(int.from_bytes(os.urandom(3)))
    sys.exit(not anyio.run(_fuzz_both, seconds, seed))


if __name__ == "__main__":
    with leaving_nothing():
        main()
