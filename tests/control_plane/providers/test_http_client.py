"""Requests to secret stores that misbehave."""

import gzip
import ssl
from contextlib import suppress
from pathlib import Path

import anyio
import pytest
from anyio.abc import ByteStream
from certificates import write_certificate
from small_http import Answer, answer, small_server

from rensei_platform.errors import SettingsError
from rensei_platform.providers.base import (
    BadAnswerError,
    ProviderUnavailableError,
    ResolveError,
)
from rensei_platform.providers.http_client import HttpClient

CANARY = "canary-of-the-client-tests"
MIB = 1024 * 1024


def _client(address: str, *, timeout: float = 5, allow_http: bool = False) -> HttpClient:
    return HttpClient(
        address, ca_file=None, allow_http=allow_http, most_bytes=MIB, timeout=timeout
    )


async def _refusal(kind: type[ResolveError], response: Answer, timeout: float = 5) -> str:
    async with small_server(lambda _: response) as server:
        with pytest.raises(kind) as refused:
            await _client(server.address, timeout=timeout).send("GET", "/v1/x", {})
        assert len(server.requests) == 1
    assert CANARY not in f"{refused.value!r} {refused.value.detail}"
    return refused.value.reason


async def test_request() -> None:
    """A request has its method, path, query, headers and body, and accepts no encoding."""
    async with small_server(lambda _: answer(200, {"a": 1})) as server:
        found = await _client(f"{server.address}/base/").send(
            "POST", "/v1/x%20y", {"X-Token": "t"}, params={"q": 'a "b"'}, body={"k": "v"}
        )
    assert (found.status, found.fields()) == (200, {"a": 1})
    [request] = server.requests
    assert (request.method, request.target) == ("POST", "/base/v1/x%20y?q=a+%22b%22")
    assert (request.headers["x-token"], request.body) == ("t", b'{"k":"v"}')
    assert request.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect(status: int) -> None:
    """A redirect is not followed: it would take the token elsewhere."""
    response = answer(status, b"", f"Location: http://127.0.0.1:1/{CANARY}")
    refusal = await _refusal(BadAnswerError, response)
    assert refusal == "answered with a redirect, which is not followed"


async def test_too_large() -> None:
    """An answer of 40 MB is cut off at the limit, whether or not its length is said."""
    sent = []

    async def flood(stream: ByteStream) -> None:
        await stream.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        for _ in range(40):
            await stream.send(b"x" * MIB)
            sent.append(MIB)

    refusal = await _refusal(BadAnswerError, flood)
    assert refusal == f"the answer is larger than {MIB} bytes"
    assert sum(sent) < 20 * MIB
    refusal = await _refusal(BadAnswerError, answer(200, b"x" * (MIB + 1)))
    assert refusal == f"the answer is larger than {MIB} bytes"


async def test_at_the_limit() -> None:
    """An answer as large as the limit is read."""
    async with small_server(lambda _: answer(200, b"x" * MIB)) as server:
        assert len((await _client(server.address).send("GET", "/", {})).body) == MIB


async def test_compressed() -> None:
    """A compressed answer, which might be a bomb, is not decompressed."""
    response = answer(200, gzip.compress(b"x" * 4 * MIB), "Content-Encoding: gzip")
    refusal = await _refusal(BadAnswerError, response)
    assert refusal == "answered in a compressed form that was not asked for"


async def test_silent() -> None:
    """A server that accepts and then says nothing is given up."""

    async def say_nothing(_: ByteStream) -> None:
        await anyio.sleep_forever()

    refusal = await _refusal(ProviderUnavailableError, say_nothing, timeout=0.05)
    assert refusal == "no answer in time"


@pytest.mark.parametrize(
    "response",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut",
        b"SSH-2.0-x\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 50_000,
    ],
)
async def test_not_http(response: bytes) -> None:
    """What is no whole HTTP response makes the server unavailable."""
    refusal = await _refusal(ProviderUnavailableError, response)
    assert refusal == "cannot be reached (RemoteProtocolError)"


async def test_refused() -> None:
    """Where nothing listens the server is unavailable; the log has how."""
    async with small_server(lambda _: b"") as server:
        pass
    with pytest.raises(
        ProviderUnavailableError, match=r"cannot be reached \(ConnectError\)"
    ) as refused:
        await _client(server.address).send("GET", "/", {})
    assert refused.value.detail == "Connection refused"


async def test_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy in the environment is not used: it would see the token."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    async with small_server(lambda _: answer(200, {})) as server:
        assert (await _client(server.address).send("GET", "/", {})).status == 200


@pytest.mark.parametrize(
    "address",
    [
        "",
        "vault:8200",
        "https://",
        f"https://user:{CANARY}@vault",
        f"https://vault/?token={CANARY}",
        "https://vault/#x",
        "https://vault:port",
        "https://[::1",
    ],
)
def test_no_address(address: str) -> None:
    """What is no address of a server is refused, and not repeated."""
    with pytest.raises(SettingsError) as refused:
        _client(address)
    assert (
        str(refused.value) == "address: not a URL of a server, such as https://vault:8200"
    )


@pytest.mark.parametrize(
    "address", ["http://vault:8200", "ftp://vault", "unix://run/vault"]
)
def test_in_clear(address: str) -> None:
    """A token does not cross a network in clear, unless the operator says it may."""
    with pytest.raises(SettingsError) as refused:
        _client(address)
    assert (
        str(refused.value) == "address: neither https:// nor http:// on the loopback device"
    )
    if address.startswith("http:"):
        _client(address, allow_http=True)


async def test_ca_file_is_read_again(tmp_path: Path) -> None:
    """An authority that is replaced needs no restart; a torn file leaves the old one."""
    old, new = tmp_path / "old", tmp_path / "new"
    for directory in (old, new):
        directory.mkdir()
    file = tmp_path / "ca.pem"
    (certificate, key), (other, other_key) = map(write_certificate, (old, new))
    file.write_bytes(certificate.read_bytes())

    async def is_trusted(certificate: Path, key: Path) -> bool:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(certificate, key)
        async with small_server(lambda _: answer(200, {}), tls) as server:
            client._address = server.address
            with suppress(ProviderUnavailableError):
                return (await client.send("GET", "/", {})).status == 200
        return False

    client = HttpClient(
        "https://a", ca_file=file, allow_http=False, most_bytes=MIB, timeout=5
    )
    assert await is_trusted(certificate, key)
    assert not await is_trusted(other, other_key)
    file.write_text("torn")
    assert await is_trusted(certificate, key)
    file.unlink()
    assert await is_trusted(certificate, key)
    file.write_bytes(other.read_bytes())
    assert await is_trusted(other, other_key)
    assert not await is_trusted(certificate, key)


def test_ca_file(tmp_path: Path) -> None:
    """A file that holds no certificate is refused at the start."""
    path = tmp_path / "ca.pem"
    path.write_text(CANARY)
    with pytest.raises(SettingsError, match="ca_file: ") as refused:
        HttpClient("https://a", ca_file=path, allow_http=False, most_bytes=1, timeout=1)
    assert CANARY not in str(refused.value)
    assert isinstance(refused.value.__cause__, ssl.SSLError)
