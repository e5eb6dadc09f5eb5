"""A real server for a test: on loopback, on a fresh database, with an organization."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import openapi_check
import platform_template
from deadlines import HANG_SECONDS
from sqlalchemy import URL, bindparam, select

from rensei_platform.http.server import DIRECT, Exposure, listen, serving, url_of
from rensei_platform.services.opening import opened
from rensei_platform.services.platform import Platform
from rensei_platform.settings import ServerSettings
from rensei_platform.store.tables import workers

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For clients that need none: to read the system's authorities takes 14 ms each."""
ORG, OWNER = platform_template.ORG, platform_template.OWNER
sqlite_url = platform_template.sqlite_url
_HOST_OF = select(workers.c.host_id).where(workers.c.id == bindparam("worker_id"))
"""No answer names it; to ask for the list of hosts takes 10 ms."""


@dataclass
class Server:
    """A running server, and its owner's key."""

    platform: Platform
    url: str
    key: str = field(repr=False)
    http: httpx.AsyncClient
    database: URL

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = None,
        **more: Any,
    ) -> httpx.Response:
        """Ask the server, by default as the owner."""
        headers = {"Authorization": f"Bearer {self.key if key is None else key}"}
        headers |= more.pop("headers", {})
        return await self.http.request(method, path, json=body, headers=headers, **more)

    async def ok(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        """Ask the server, and return its answer's JSON; it must be a success."""
        response = await self.call(method, path, body, **more)
        assert response.is_success, (response.status_code, response.text)
        return response.json()

    async def register(self, name: str = "build-07", **more: Any) -> "Worker":
        """Register a host."""
        body = {"hostname": name, "machineId": f"mid_{name}", "capacity": 4}
        answer = await self.ok("POST", "/api/workers/register", body | more)
        worker_id = answer["workerId"]
        row = await self.platform.store.quick.one(_HOST_OF, {"worker_id": worker_id})
        assert row is not None
        return Worker(self, worker_id, answer["runtimeToken"], row["host_id"])


@dataclass
class Worker:
    """A registered host."""

    server: Server
    id: str
    token: str = field(repr=False)
    host_id: str

    async def beat(self, **body: Any) -> Any:
        """Send a heartbeat, and return its answer."""
        path = f"/api/workers/{self.id}/heartbeat"
        return await self.server.ok(
            "POST", path, {"activeCount": 0, **body}, key=self.token
        )

    async def pending(self, **body: Any) -> list[str]:
        """Send a heartbeat, and return the ids of the mutations it brought."""
        return [found["id"] for found in (await self.beat(**body))["pendingMutations"]]

    async def enqueue(self, op: str = "project.enable", **params: Any) -> str:
        """Ask the host for a change, and return its id."""
        body = {"workerHostId": self.host_id, "op": op, "params": params or {"id": "p"}}
        answer = await self.server.ok("POST", "/api/daemon/mutations", body)
        return str(answer["mutation"]["id"])

    async def history(self) -> dict[str, Any]:
        """Return the host's mutations by id."""
        params = {"workerHostId": self.host_id}
        answer = await self.server.ok("GET", "/api/daemon/mutations", params=params)
        return {found["id"]: found for found in answer["mutations"]}


@asynccontextmanager
async def running(
    url: URL,
    key_file: Path,
    settings: ServerSettings | None = None,
    exposure: Exposure = DIRECT,
) -> AsyncIterator[Server]:
    """Serve a new database while the block runs."""
    key = _prepare(url, key_file)
    async with serving_replica(url, key_file, key, settings, exposure) as server:
        yield server


def _prepare(url: URL, key_file: Path) -> str:
    """Create a database with an organization, and return its owner's API key."""
    if url.drivername == "sqlite":
        template = platform_template.founded()
        template.copy_to(url, key_file)
        return template.owner_key
    return platform_template.insert_into(url, key_file)


@asynccontextmanager
async def serving_replica(
    url: URL,
    key_file: Path,
    key: str,
    settings: ServerSettings | None = None,
    exposure: Exposure = DIRECT,
) -> AsyncIterator[Server]:
    """Serve a database that is there, beside its other servers, while the block runs."""
    async with opened(url, settings or ServerSettings(), key_file) as platform:
        with listen("127.0.0.1", 0) as listener:
            async with (
                serving(platform, listener, exposure=exposure),
                httpx.AsyncClient(
                    base_url=url_of(listener),
                    trust_env=False,
                    verify=NO_TLS,
                    timeout=HANG_SECONDS,  # the default of 5 s is short on a busy machine
                    event_hooks={"response": [openapi_check.check]},
                ) as http,
            ):
                yield Server(platform, url_of(listener), key, http, url)
