"""Authorities that are replaced on disk while the daemon runs."""

import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import httpx
import pytest
from deadlines import HANG_SECONDS
from needs import need
from rig.certificates import Authority, make_authority

from platform_api.conftest import listening
from rensei_daemon.errors import SettingsError, TransientError
from rensei_daemon.platform_api.http import Http, open_http
from rensei_daemon.platform_api.stream import FirstByte, open_stream
from rensei_daemon.platform_api.trust import Tls

if TYPE_CHECKING:
    from platform_api.conftest import FaultServer

KEY = "rsk_live_" + "c0ffee" * 10 + "beef"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: hello\n\n"


@pytest.fixture(scope="module")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> tuple[Authority, Authority]:
    """Make the former authority and today's, each with a certificate of the platform."""
    need("openssl")
    made = tuple(make_authority(tmp_path_factory.mktemp(name)) for name in ("old", "new"))
    for authority in made:
        authority.sign("platform")
    old, new = made
    return old, new


@asynccontextmanager
async def rotating(
    authorities: tuple[Authority, Authority], ca_file: Path
) -> AsyncIterator[tuple[Http, "FaultServer", ssl.SSLContext]]:
    """Give a client that trusts the old one, and the server's context, which shows it."""
    old, _ = authorities
    replace(ca_file, old)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*old.pair("platform"))
    with anyio.fail_after(HANG_SECONDS):
        async with (
            listening(context) as server,
            open_http(server.url, user_agent="x", ca_file=ca_file) as http,
        ):
            server.plan("stream", [HEAD, anyio.Event()])
            server.plan("/", server.say(200, {"a": 42}, connection="close"))
            yield http, server, context


def replace(bundle: Path, authority: Authority) -> None:
    """Let a file name this authority alone."""
    bundle.write_bytes(authority.ca.read_bytes())


async def ask(http: Http) -> object:
    """Send a request, and return what was answered."""
    return (await http.call("GET", "/")).body


async def test_a_bundle_that_was_replaced_is_read_when_it_is_needed(
    authorities: tuple[Authority, Authority], tmp_path: Path
) -> None:
    """Requests and streams trust today's authorities; open streams are left alone."""
    ca_file, (_, new) = tmp_path / "ca.pem", authorities
    async with rotating(authorities, ca_file) as (http, _, context):
        assert await ask(http) == {"a": 42}
        async with open_stream(http, "build", KEY) as stream:
            assert await anext(stream) == FirstByte()
            context.load_cert_chain(*new.pair("platform"))
            with pytest.raises(TransientError, match="is not trusted"):
                await ask(http)
            replace(ca_file, new)
            assert await ask(http) == {"a": 42}
            async with open_stream(http, "build", KEY) as another:
                assert await anext(another) == FirstByte()
            with anyio.move_on_after(0.05) as living:
                await anext(stream)
            assert living.cancelled_caught


async def test_a_stream_alone_finds_a_replaced_bundle_too(
    authorities: tuple[Authority, Authority], tmp_path: Path
) -> None:
    """It need not wait for a request to fail."""
    ca_file, (_, new) = tmp_path / "ca.pem", authorities
    async with rotating(authorities, ca_file) as (http, _, context):
        context.load_cert_chain(*new.pair("platform"))
        replace(ca_file, new)
        async with open_stream(http, "build", KEY) as stream:
            assert await anext(stream) == FirstByte()


async def test_an_authority_that_was_removed_is_not_trusted_after_a_reload(
    authorities: tuple[Authority, Authority], tmp_path: Path
) -> None:
    """Nothing of the old bundle stays."""
    ca_file, (_, new) = tmp_path / "ca.pem", authorities
    async with rotating(authorities, ca_file) as (http, _, _):
        assert not await http.reread_authorities()
        replace(ca_file, new)
        assert await http.reread_authorities()
        assert not await http.reread_authorities()
        with pytest.raises(TransientError, match="is not trusted"):
            await ask(http)
        with pytest.raises(TransientError, match="is not trusted"):
            async with open_stream(http, "build", KEY):
                pass


async def test_a_bundle_that_cannot_be_used_changes_nothing(
    authorities: tuple[Authority, Authority], tmp_path: Path
) -> None:
    """A reload says what is wrong; what was trusted is, also by requests that fail."""
    ca_file, (_, new) = tmp_path / "ca.pem", authorities
    async with rotating(authorities, ca_file) as (http, _, context):
        ca_file.write_text("half a bun")
        with pytest.raises(SettingsError, match="cannot be used"):
            await http.reread_authorities()
        assert await ask(http) == {"a": 42}
        context.load_cert_chain(*new.pair("platform"))
        with pytest.raises(TransientError, match="is not trusted"):
            await ask(http)
        replace(ca_file, new)
        assert await ask(http) == {"a": 42}


async def test_many_requests_find_a_replaced_bundle_together(
    authorities: tuple[Authority, Authority], tmp_path: Path
) -> None:
    """Each of those that failed is sent again, though only one has read the file."""
    ca_file, (_, new) = tmp_path / "ca.pem", authorities
    async with rotating(authorities, ca_file) as (http, server, context):
        context.load_cert_chain(*new.pair("platform"))
        replace(ca_file, new)
        async with anyio.create_task_group() as tasks:
            for _ in range(8):
                tasks.start_soon(ask, http)
        assert len(server.received) == 8


async def test_the_systems_bundle_may_be_replaced_too(
    authorities: tuple[Authority, Authority],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So do hosts that have the authority among the system's."""
    bundle, (old, new) = tmp_path / "bundle.pem", authorities
    replace(bundle, old)
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    ca_file = tmp_path / "ca.pem"
    async with rotating((old, new), ca_file) as (http, _, context):
        context.load_cert_chain(*new.pair("platform"))
        replace(bundle, new)
        assert await ask(http) == {"a": 42}


@pytest.fixture
def system(
    authorities: tuple[Authority, Authority],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """Have a system whose directory holds the old authority, and its bundle today's."""
    (old, new), directory = authorities, tmp_path / "certs"
    directory.mkdir()
    argv = ["openssl", "x509", "-noout", "-hash", "-in", str(old.ca)]
    hashed = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    replace(directory / f"{hashed.strip()}.0", old)
    replace(tmp_path / "bundle.pem", new)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "bundle.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(directory))
    return directory


def remove_hashes(directory: Path) -> None:
    """Let the names in the directory be names as any."""
    for file in list(directory.iterdir()):
        file.rename(file.with_suffix(".pem"))


def trusted(tls: Tls) -> int:
    """Return how many authorities are in memory."""
    return tls.context.cert_store_stats()["x509_ca"]


async def test_a_bundle_is_read_once_the_directory_does_not_suffice(
    authorities: tuple[Authority, Authority], system: Path
) -> None:
    """What is only in the bundle is trusted from the first request on."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with anyio.fail_after(HANG_SECONDS):
        async with listening(context) as server:
            server.plan("/", server.say(200, {"a": 42}, connection="close"))
            async with open_http(server.url, user_agent="x") as http:
                for authority in authorities:
                    context.load_cert_chain(*authority.pair("platform"))
                    assert await ask(http) == {"a": 42}


async def test_a_bundle_is_read_only_where_it_is_needed(
    system: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is: without hashes in the directory, when named alone, and for a probe."""
    url = httpx.URL("https://platform.example")
    lazy = Tls(url, None, None)
    assert trusted(lazy) == 0
    assert not await lazy.reread()
    assert await lazy.is_newer_than(lazy.context)
    assert trusted(lazy) == 1
    assert not await lazy.is_newer_than(lazy.context)
    assert trusted(Tls(url, None, None, reads_bundle=True)) == 1
    remove_hashes(system)
    assert trusted(Tls(url, None, None)) == 1
    monkeypatch.delenv("SSL_CERT_DIR")
    assert trusted(Tls(url, None, None)) == 1


async def test_a_client_certificate_is_shown_after_the_authorities_changed(
    authorities: tuple[Authority, Authority], tmp_path: Path
) -> None:
    """It moves to the new context."""
    ca_file, (old, new) = tmp_path / "ca.pem", authorities
    cert, key = tmp_path / "client.pem", tmp_path / "client.key"
    for source, target in zip(old.pair("platform"), (cert, key), strict=True):
        target.touch(mode=0o600)
        target.write_bytes(source.read_bytes())
    replace(ca_file, old)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*new.pair("platform"))
    context.load_verify_locations(old.ca)
    context.verify_mode = ssl.CERT_REQUIRED
    with anyio.fail_after(HANG_SECONDS):
        async with (
            listening(context) as server,
            open_http(
                server.url, user_agent="x", ca_file=ca_file, client_files=(cert, key)
            ) as http,
        ):
            server.plan("/", server.say(200, {"a": 42}, connection="close"))
            replace(ca_file, new)
            assert await ask(http) == {"a": 42}
