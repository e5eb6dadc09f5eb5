"""A server behind a pooler of transactions, with a way of its own to PostgreSQL."""

import subprocess
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest
from deadlines import HANG_SECONDS
from platform_server import ORG, Server, running, sqlite_url
from polling import wait_until
from postgresql import Cluster
from raw_streams import open_streams
from sqlalchemy import URL

from rensei_platform.cli.database import Setup
from rensei_platform.config import Config
from rensei_platform.errors import SettingsError
from rensei_platform.http.server import listen, serving, url_of
from rensei_platform.services.opening import opened
from rensei_platform.settings import ServerSettings

NEVER = ServerSettings(reconcile_seconds=3600, confirm_seconds=HANG_SECONDS, stop_seconds=0)

SETTINGS = """\
[databases]
* = host={directory} user=postgres
[pgbouncer]
pool_mode = transaction
default_pool_size = 5
listen_addr =
unix_socket_dir = {directory}
listen_port = 6432
auth_type = any
logfile = {directory}/pgbouncer.log
"""


@pytest.fixture
def pooled(database: URL, postgresql: Cluster) -> Iterator[URL]:
    """The address of the database behind a pooler."""
    directory = postgresql.directory
    file = directory / "pgbouncer.ini"
    file.write_text(SETTINGS.format(directory=directory))
    owner = directory.stat().st_uid
    with subprocess.Popen(
        ["pgbouncer", "--quiet", file], user=owner, stderr=subprocess.DEVNULL
    ) as process:
        wait_until((directory / ".s.PGSQL.6432").exists)
        yield database.set(port=6432)
        process.terminate()


@pytest.mark.needs("postgresql", "pgbouncer")
@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
async def test_servers_behind_a_pooler_hear_one_another(
    database: URL, pooled: URL, tmp_path: Path
) -> None:
    """The bus does not go by the pooler, everything else does."""
    key_file = tmp_path / "platform.key"
    async with AsyncExitStack() as stack:
        direct = await stack.enter_async_context(running(database, key_file, NEVER))
        platform = await stack.enter_async_context(
            opened(pooled, NEVER, key_file, listen_url=database)
        )
        listener = stack.enter_context(listen("127.0.0.1", 0))
        await stack.enter_async_context(serving(platform, listener))
        http = await stack.enter_async_context(
            httpx.AsyncClient(base_url=url_of(listener), trust_env=False)
        )
        behind = Server(platform, url_of(listener), direct.key, http, pooled)
        open_stream = await stack.enter_async_context(open_streams())
        values = {"values": {"TOKEN": "t"}}
        await direct.ok("PUT", "/api/admin/credentials/github/values", values)
        for session, server in (("a", direct), ("b", behind)):
            body = {"orgId": ORG, "sessionId": session}
            for _ in range(8):  # a driver prepares what it asks often
                await server.ok("POST", "/api/daemon/credentials/snapshot", body)
        streams = [
            await open_stream(direct.url, direct.key, "a"),
            await open_stream(behind.url, direct.key, "b"),
        ]
        for server in (direct, behind):
            asked = {"orgId": ORG, "kind": "github"}
            done = await server.ok("POST", "/api/daemon/credentials/rotate", asked)
            assert done["sessionCount"] == 2
            for stream in streams:
                assert (await stream.event())["delta"] == {"TOKEN": "t"}
        host = await behind.register()
        mutation = await host.enqueue()
        assert await host.pending() == [mutation]


def test_listen_url_is_for_postgresql(tmp_path: Path) -> None:
    """An embedded database has no pooler; commands go by the way without one."""
    pooler = "postgresql://pooler/name"
    for database, listen_url in (
        (str(sqlite_url(tmp_path)), pooler),
        (pooler, str(sqlite_url(tmp_path))),
    ):
        with pytest.raises(SettingsError, match="listen_url is for PostgreSQL"):
            _ = _setup(database, listen_url).direct_database
    setup = _setup(pooler, "postgresql://itself/name")
    assert (setup.database.host, setup.direct_database.host) == ("pooler", "itself")


def _setup(database: str, listen_url: str) -> Setup:
    config = Config(database=database, listen_url=listen_url)
    return Setup(file=None, config=config, providers={}, options={})
