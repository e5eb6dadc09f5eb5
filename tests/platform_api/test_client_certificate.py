"""A platform that requires a client certificate, with real TLS on both sides."""

import http.server
import select
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from deadlines import HANG_SECONDS
from needs import need
from polling import until
from rig.certificates import Authority, install, make_authority, openssl

from rensei_daemon.errors import Failure, SettingsError, TransientError
from rensei_daemon.platform_api import tls_refusal
from rensei_daemon.platform_api.http import Http, open_http

VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The authority that the platform trusts."""
    need("openssl")
    made = make_authority(tmp_path_factory.mktemp("ours"))
    for name, days in (("platform", 2), ("host", 2), ("next", 2), ("old", -1)):
        made.sign(name, days=days)
    return made


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that it does not trust."""
    made = make_authority(tmp_path_factory.mktemp("strangers"))
    made.sign("host")
    return made


class _Handler(http.server.BaseHTTPRequestHandler):
    server: "_Server"

    def do_GET(self) -> None:
        connection: Any = self.connection
        certificate = connection.getpeercert() or {"subject": [[("commonName", "nobody")]]}
        self.server.peers.append(dict(certificate["subject"][0])["commonName"])
        body = b'{"a": 42}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:
        pass


class _Server(http.server.ThreadingHTTPServer):
    """Does handshakes in the thread of the connection, like real servers."""

    daemon_threads = False  # they are waited for

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.context = context
        self.peers: list[str] = []
        """Whom each request came from, by its certificate."""
        self.connections = 0
        self.is_rude = False
        """Whether it hangs up instead of reading a request."""
        self.greeted, self.may_answer = threading.Event(), threading.Event()
        """A client has begun a handshake; the handshakes may go on."""
        self.may_answer.set()

    def finish_request(self, request: Any, client_address: Any) -> None:
        self.connections += 1
        request.recv(1, socket.MSG_PEEK)
        self.greeted.set()
        self.may_answer.wait(HANG_SECONDS)
        with self.context.wrap_socket(request, server_side=True) as secured:
            if self.is_rude:
                select.select([secured], [], [])  # what is unread makes it a reset
                return
            super().finish_request(secured, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"https://127.0.0.1:{self.server_port}"


@contextmanager
def platform(ours: Authority, version: ssl.TLSVersion) -> Iterator[_Server]:
    """Serve with TLS of this version, to those who show a certificate of ours."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ours.folder / "platform.pem", ours.folder / "platform.key")
    context.load_verify_locations(ours.ca)
    context.verify_mode = ssl.CERT_REQUIRED
    context.minimum_version = context.maximum_version = version
    with _Server(context) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


async def refused(http: Http) -> TransientError:
    """Send a request, and return the refusal."""
    with pytest.raises(TransientError) as caught, anyio.fail_after(HANG_SECONDS):
        await http.call("POST", "/", body={"a": "b" * 50_000})
    return caught.value


@pytest.mark.parametrize("version", VERSIONS, ids=lambda v: v.name)
async def test_the_certificate_is_shown(ours: Authority, version: ssl.TLSVersion) -> None:
    """Requests and streams present it."""
    with platform(ours, version) as server:
        async with open_http(
            server.url, user_agent="x", ca_file=ours.ca, client_files=ours.pair("host")
        ) as http:
            assert (await http.call("GET", "/")).body == {"a": 42}
            async with http.stream("/", bearer="b", query={}):
                pass
    assert server.peers == ["host", "host"]


@pytest.mark.parametrize(
    ("shown", "alert"),
    [("old", "certificate expired"), ("stranger", "unknown ca"), (None, "required")],
)
@pytest.mark.parametrize("version", VERSIONS, ids=lambda v: v.name)
async def test_a_refusal_says_what_the_platform_wants(
    ours: Authority,
    strangers: Authority,
    version: ssl.TLSVersion,
    shown: str | None,
    alert: str,
) -> None:
    """Expired, signed by nobody it knows, or none at all: each in plain words.

    In TLS 1.3 also when the alert was lost, as it mostly is.
    """
    files = {"old": ours.pair("old"), "stranger": strangers.pair("host"), None: None}
    with platform(ours, version) as server:
        async with open_http(
            server.url, user_agent="x", ca_file=ours.ca, client_files=files[shown]
        ) as http:
            errors = [await refused(http) for _ in range(5)]
    assert server.peers == []
    for error in errors:
        if shown is None and version is ssl.TLSVersion.TLSv1_2:
            # That version has no alert of its own for this.
            assert "SSLV3_ALERT_HANDSHAKE_FAILURE" in str(error)
            assert "platform.client_cert_file" in error.hint
            continue
        assert error.failure is Failure.TLS_REFUSED
        assert f"127.0.0.1:{server.server_port}: it " in str(error)
        assert f"{alert})" in str(error)
        assert ("this host has none" in str(error)) is (shown is None)
        assert "platform.client_cert_file and platform.client_key_file" in error.hint


@pytest.mark.parametrize("version", VERSIONS, ids=lambda v: v.name)
async def test_a_renewed_pair_is_taken_up_after_a_refusal(
    ours: Authority, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    """The files are read again after a refusal, and the same call succeeds."""
    files = (tmp_path / "c.pem", tmp_path / "c.key")
    install(ours.pair("old"), files)
    with platform(ours, version) as server:
        async with open_http(
            server.url, user_agent="x", ca_file=ours.ca, client_files=files
        ) as http:
            assert (await refused(http)).failure is Failure.TLS_REFUSED
            install(ours.pair("host"), files)
            assert (await http.call("POST", "/", body={})).body == {"a": 42}
            install(ours.pair("next"), files)
            assert await http.reread_certificate() is True
            assert await http.reread_certificate() is False
            async with http.stream("/", bearer="b", query={}):
                pass
    assert server.peers == ["host", "next"]


async def test_a_pair_that_was_renewed_meanwhile_is_tried(
    ours: Authority, tmp_path: Path
) -> None:
    """A request that showed the old one is sent again, though nothing is left to load."""
    files = (tmp_path / "c.pem", tmp_path / "c.key")
    install(ours.pair("old"), files)
    with platform(ours, ssl.TLSVersion.TLSv1_2) as server:  # in 1.3 the alert may be lost
        server.may_answer.clear()
        async with (
            open_http(
                server.url, user_agent="x", ca_file=ours.ca, client_files=files
            ) as http,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(http.call, "GET", "/")
            await until(server.greeted.is_set)
            install(ours.pair("host"), files)
            assert await http.reread_certificate() is True
            server.may_answer.set()
    assert (server.connections, server.peers) == (2, ["host"])


async def test_a_pair_that_does_not_fit_changes_nothing(
    ours: Authority, tmp_path: Path
) -> None:
    """With a half-written renewal, an empty key or no key the old pair stays."""
    files = (tmp_path / "c.pem", tmp_path / "c.key")
    install(ours.pair("host"), files)
    with platform(ours, ssl.TLSVersion.TLSv1_3) as server:
        async with open_http(
            server.url, user_agent="x", ca_file=ours.ca, client_files=files
        ) as http:
            for spoil in (
                lambda: files[0].write_bytes(ours.pair("next")[0].read_bytes()),
                lambda: files[1].write_text(""),
                lambda: files[1].unlink(),
            ):
                spoil()
                with pytest.raises(SettingsError) as caught:
                    await http.reread_certificate()
                assert str(files[1]) in str(caught.value)
                async with http.stream("/", bearer="b", query={}):
                    pass
    assert server.peers == ["host"] * 3


async def test_a_pair_that_cannot_be_read_again_is_told_with_the_refusal(
    ours: Authority, tmp_path: Path
) -> None:
    """The error has the refusal and the problem of the files."""
    files = (tmp_path / "c.pem", tmp_path / "c.key")
    install(ours.pair("old"), files)
    with platform(ours, ssl.TLSVersion.TLSv1_2) as server:
        async with open_http(
            server.url, user_agent="x", ca_file=ours.ca, client_files=files
        ) as http:
            files[1].unlink()
            error = await refused(http)
    assert error.failure is Failure.TLS_REFUSED
    assert "certificate expired), and it cannot be read again: " in str(error)
    assert str(files[1]) in str(error)


@pytest.mark.parametrize(
    ("spoil", "said", "hint"),
    [
        (lambda key: key.chmod(0o604), "everybody can read", "chmod 0600"),
        (lambda key: key.write_text("x"), "cannot be used as a client cert", "PEM"),
        (lambda key: key.unlink(), "No such file", "ls -ld"),
        (lambda key: _encrypt(key), "is encrypted", "openssl pkey"),
    ],
    ids=["open to all", "no PEM", "missing", "encrypted"],
)
async def test_a_useless_pair_is_the_operators_to_mend(
    ours: Authority, tmp_path: Path, spoil: Any, said: str, hint: str
) -> None:
    """At the start it is a settings error, even without TLS."""
    files = (tmp_path / "c.pem", tmp_path / "c.key")
    install(ours.pair("host"), files)
    spoil(files[1])
    for url in ("https://127.0.0.1:9", "http://127.0.0.1:9"):
        with pytest.raises(SettingsError, match=said) as caught:
            async with open_http(url, user_agent="x", client_files=files):
                pass
        assert hint in caught.value.hint


def _encrypt(key: Path) -> None:
    plain = key.rename(key.with_suffix(".plain"))
    openssl("pkey", "-in", plain, "-aes256", "-passout", "pass:x", "-out", key)


async def test_an_alert_is_looked_for_once_a_minute_and_forgotten_after_an_answer(
    ours: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failure after a response has another cause, and needs no more connections."""
    monkeypatch.setattr(tls_refusal, "WAIT_SECONDS", 0.05)
    monkeypatch.setattr(tls_refusal, "PAUSE_SECONDS", 1000.0)
    with platform(ours, ssl.TLSVersion.TLSv1_3) as server:
        async with open_http(server.url, user_agent="x", ca_file=ours.ca) as http:
            assert (await refused(http)).failure is Failure.TLS_REFUSED
            server.context.verify_mode = ssl.CERT_NONE
            await http.call("GET", "/")
            server.is_rude = True
            connections = server.connections
            for _ in range(3):
                assert (await refused(http)).failure is Failure.BROKEN
    assert server.connections == connections + 3
