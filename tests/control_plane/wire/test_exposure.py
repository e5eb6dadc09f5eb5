"""How clients reach a server: over TLS, behind a proxy, by a name."""

import ssl
from pathlib import Path

import anyio
import httpx
import pytest
from certificates import write_certificate
from platform_program import Program
from platform_server import Server, running, sqlite_url
from polling import wait_until

from rensei_platform.errors import SettingsError
from rensei_platform.http.server import Exposure
from rensei_platform.http.tls import Certificate
from rensei_platform.settings import ServerSettings


async def _addresses(server: Server) -> list[str]:
    """Have the server write an audit entry; return the addresses of all entries."""
    await server.ok("POST", "/api/admin/hosts", {"name": "h"})
    entries = (await server.ok("GET", "/api/admin/audit"))["entries"]
    return [entry["address"] for entry in entries]


@pytest.mark.parametrize(
    ("proxies", "forwarded", "seen"),
    [
        ((), "192.0.2.7", "127.0.0.1"),
        (("192.0.2.0/24",), "192.0.2.7", "127.0.0.1"),
        (("127.0.0.1",), "192.0.2.7", "192.0.2.7"),
        (("127.0.0.0/8",), "203.0.113.9, 192.0.2.7, 127.0.0.2", "192.0.2.7"),
    ],
)
async def test_forwarded_address(
    tmp_path: Path, proxies: tuple[str, ...], forwarded: str, seen: str
) -> None:
    """X-Forwarded-For counts from a trusted proxy alone, up to the first stranger in it."""
    exposure = Exposure(proxies=proxies)
    key_file = tmp_path / "master.key"
    async with running(sqlite_url(tmp_path), key_file, exposure=exposure) as server:
        server.http.headers["x-forwarded-for"] = forwarded
        assert await _addresses(server) == [seen]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("[::1]:8790", 200),
        ("localhost:1", 200),
        ("Rensei.Example.com.", 200),
        ("rensei.example.com:443", 200),
        ("attacker.test", 421),
        ("127.0.0.1.attacker.test", 421),
        ("rensei.example.com@attacker.test", 421),
        ("", 421),
    ],
)
async def test_host_header(tmp_path: Path, host: str, status: int) -> None:
    """A request to a name that is not the server's is refused before anything else."""
    settings = ServerSettings(host_names=frozenset({"rensei.example.com"}))
    async with (
        running(sqlite_url(tmp_path), tmp_path / "k", settings) as server,
        httpx.AsyncClient(base_url=server.url, trust_env=False) as http,
    ):
        answer = await http.get("/readyz", headers={"host": host})
    assert answer.status_code == status
    if status == 421:
        message = f"{host!a} is not in host_names of platform.toml"
        assert answer.json() == {"error": message}


@pytest.mark.slow
def test_server_speaks_tls(tmp_path: Path) -> None:
    """With a certificate the program serves HTTPS, and nothing without it."""
    certificate, key = write_certificate(tmp_path)
    (tmp_path / "platform.toml").write_text(
        f'database = "sqlite:///platform.db"\nport = 0\nhost = "0.0.0.0"\n'
        f'tls_certificate = "{certificate}"\ntls_key = "{key}"\n'
    )
    program = Program(tmp_path)
    program.init("sqlite:///platform.db")
    with program.serving("--config", "platform.toml") as served:
        url = served.replace("0.0.0.0", "127.0.0.1")
        trusted = ssl.create_default_context(cafile=certificate)
        assert httpx.get(f"{url}/readyz", verify=trusted, trust_env=False).json() == {
            "ready": True
        }
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"{url}/readyz".replace("https", "http"), trust_env=False)


@pytest.mark.parametrize("path", ["/healthz", "/console/sign-in", "/nowhere"])
@pytest.mark.parametrize("way", ["clear", "tls", "proxy", "stranger"])
async def test_browsers_are_told_to_keep_to_tls(
    tmp_path: Path, way: str, path: str
) -> None:
    """By a server that speaks it, or behind a trusted proxy that does; by no other."""
    certificate, key = write_certificate(tmp_path)
    exposure = {
        "clear": Exposure(),
        "tls": Exposure(certificate=Certificate(certificate, key)),
        "proxy": Exposure(proxies=("127.0.0.1",)),
        "stranger": Exposure(proxies=("192.0.2.1",)),
    }[way]
    context = ssl.create_default_context(cafile=certificate)
    async with running(sqlite_url(tmp_path), tmp_path / "k", exposure=exposure) as server:
        url = server.url.replace("http:", "https:") if way == "tls" else server.url
        async with httpx.AsyncClient(verify=context, trust_env=False) as http:
            proto = {} if way == "tls" else {"x-forwarded-proto": "https"}
            answer = await http.get(url + path, headers=proto if way != "clear" else {})
    told = answer.headers.get("strict-transport-security")
    assert told == ("max-age=31536000" if way in ("tls", "proxy") else None)


def test_listening_in_clear_beyond_loopback_is_refused(tmp_path: Path) -> None:
    """The program does not start where keys would cross a network in clear."""
    program = Program(tmp_path)
    database = ("--database", "sqlite:///platform.db")
    message = program.run("serve", *database, "--host", "0.0.0.0", exit_code=78)
    assert message.startswith("error: '0.0.0.0' is not a loopback address, and there is no")


async def test_certificate_is_renewed_while_the_server_runs(tmp_path: Path) -> None:
    """New files serve new connections; a pair that does not fit leaves the old one."""
    files = write_certificate(tmp_path)
    exposure = Exposure(certificate=Certificate(*files))
    async with running(sqlite_url(tmp_path), tmp_path / "k", exposure=exposure) as server:
        port = httpx.URL(server.url).port

        def serving_now() -> bytes:
            text = ssl.get_server_certificate(("127.0.0.1", port or 0))
            return ssl.PEM_cert_to_DER_cert(text)

        first = await anyio.to_thread.run_sync(serving_now)
        files[1].write_text("torn")
        assert exposure.certificate
        exposure.certificate.refresh()
        assert await anyio.to_thread.run_sync(serving_now) == first
        write_certificate(tmp_path)  # the server looks every second
        second = ssl.PEM_cert_to_DER_cert(files[0].read_text())
        await anyio.to_thread.run_sync(wait_until, lambda: serving_now() == second)


def test_unusable_certificate_is_refused(tmp_path: Path) -> None:
    """A key of another certificate, or no file, stops the start with a remedy."""
    certificate, _ = write_certificate(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    _, key = write_certificate(other)
    for pair in ((certificate, key), (tmp_path / "absent", key)):
        with pytest.raises(SettingsError, match="cannot use the certificate") as refused:
            Certificate(*pair)
        assert refused.value.hint.startswith("Both must be PEM")
