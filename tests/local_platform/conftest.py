"""A running platform with one tenant, `acme`, and a way to ask it things."""

import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import httpx
import pytest

from rensei_daemon.local_platform.running import RunningPlatform, running
from rensei_daemon.local_platform.settings import PlatformSettings

Call = Callable[..., Coroutine[Any, Any, httpx.Response]]

# To read the system's certificates takes longer than most of these tests.
NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@pytest.fixture
async def platform() -> AsyncIterator[RunningPlatform]:
    """A platform without a tenant."""
    async with running(PlatformSettings(heartbeat_interval_ms=200)) as platform:
        yield platform


@pytest.fixture
async def client(platform: RunningPlatform) -> AsyncIterator[httpx.AsyncClient]:
    """A client that knows where the platform is."""
    async with httpx.AsyncClient(
        base_url=platform.url, trust_env=False, verify=NO_AUTHORITIES
    ) as client:
        yield client


@pytest.fixture
def call(client: httpx.AsyncClient) -> Call:
    """A way to send one request, of a method and a path, by a bearer, with a body."""

    async def call(
        method: str,
        path: str,
        bearer: str | None = None,
        body: object = None,
        **options: Any,
    ) -> httpx.Response:
        headers = {}
        if bearer is not None:
            headers[b"Authorization"] = f"Bearer {bearer}".encode("latin-1")
        if body is not None:
            options["json"] = body
        return await client.request(method, path, headers=headers, **options)

    return call


@pytest.fixture
def key(platform: RunningPlatform) -> str:
    """The key of an admin of the org `org_acme`."""
    platform.state.add_org("acme", id="org_acme")
    return platform.state.add_key("acme", "admin", owner="ada")


@pytest.fixture
def foreign_key(platform: RunningPlatform) -> str:
    """The key of an owner of another org, `org_other`."""
    platform.state.add_org("other", id="org_other")
    return platform.state.add_key("other", "owner")


@pytest.fixture
async def worker(call: Call, key: str) -> dict[str, Any]:
    """What the host `h1` was answered when it registered."""
    body = {"hostname": "h1", "machineId": "mid_1", "capacity": 4}
    answer = await call("POST", "/api/workers/register", key, body)
    registered: dict[str, Any] = answer.json()
    return registered
