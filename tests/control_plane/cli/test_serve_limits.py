"""A server that may have few files open, and is asked for more streams than that."""

import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest
from deadlines import HANG_SECONDS
from platform_server import ORG, OWNER, sqlite_url
from raw_streams import PATH, open_streams

from rensei_platform.http.descriptors import is_full, most_streams
from rensei_platform.master_key import default_master_key_path
from rensei_platform.services.administration import found_org
from rensei_platform.services.opening import ensure_master_key
from rensei_platform.services.platform import utc_now
from rensei_platform.store.engine import Store
from rensei_platform.store.schema import migrate

PROGRAM = str(Path(sys.executable).with_name("rensei-platform"))
LIMIT = 160


@contextmanager
def served(directory: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Run a server whose soft limit is lower than its hard one: (process, url)."""
    serve = [PROGRAM, "serve", "--database", f"sqlite:///{directory}/platform.db"]
    with subprocess.Popen(
        [*serve, "--port", "0", "--stop-seconds", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, LIMIT)),
    ) as process:
        assert process.stdout is not None
        try:
            event = json.loads(process.stdout.readline())
            assert event["event"] == "server.ready"
            yield process, event["url"]
        finally:
            process.kill()


async def make(directory: Path) -> str:
    """Make a platform with an organization; return its owner's key."""
    url = sqlite_url(directory)
    ensure_master_key(default_master_key_path(Path(str(url.database)), directory))
    migrate(url)
    store = Store(url)
    made = await found_org(store, ORG, "Acme", OWNER, utc_now())
    await store.close()
    return made.text


@pytest.mark.slow
async def test_full(tmp_path: Path) -> None:
    """It opens half of the hard limit, says so in one line, and answers others 503."""
    key = await make(tmp_path)
    with served(tmp_path) as (process, url):
        async with open_streams() as open_stream:
            with anyio.fail_after(HANG_SECONDS):
                for _ in range(LIMIT // 2):
                    await open_stream(url, key)
                for _ in range(10):
                    assert b" 503 " in await _status(url, key, PATH + "?sessionId=s")
                assert b" 200 " in await _status(url, key, "/api/admin/hosts")
        process.terminate()
        said, _ = process.communicate()
        assert said.count(b"\n") == 2, said  # and that it stops
        assert b"streams.full" in said
        assert process.returncode == 0


async def _status(url: str, key: str, path: str) -> bytes:
    host, port = url.removeprefix("http://").split(":")
    async with await anyio.connect_tcp(host, int(port)) as connection:
        await connection.send(
            f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n"
            f"Authorization: Bearer {key}\r\n\r\n".encode()
        )
        return (await connection.receive()).partition(b"\r\n")[0]


def test_room_for_the_rest() -> None:
    """Streams leave half of a small limit, and 1,024 of a large one."""
    assert most_streams(1024) == 512
    assert most_streams(20_000) == 18_976
    assert most_streams(None) is None


def test_full_table() -> None:
    """It is reported a little before nothing can be opened any more."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert not is_full(soft - 49)
    assert is_full(soft - 48)
