"""Proxies from the environment, and requests through a real proxy."""

import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import httpx
import pytest
from anyio.abc import ByteReceiveStream, ByteSendStream, SocketStream
from deadlines import HANG_SECONDS

from rensei_daemon.errors import SettingsError
from rensei_daemon.platform_api.http import open_http
from rensei_daemon.platform_api.proxies import exception_for, route_to

if TYPE_CHECKING:
    from platform_api.conftest import FaultServer

OK = b'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"a": 42}'


@dataclass
class ConnectProxy:
    """A proxy that tunnels every CONNECT to one port of this host."""

    port: int
    leads_to: int
    heads: list[bytes] = field(default_factory=list)

    async def serve(self, client: SocketStream) -> None:
        """Read the head of a CONNECT, then pass on bytes both ways."""
        async with client:
            head = b""
            while b"\r\n\r\n" not in head:
                head += await client.receive()
            self.heads.append(head)
            async with await anyio.connect_tcp("127.0.0.1", self.leads_to) as platform:
                await client.send(b"HTTP/1.1 200 OK\r\n\r\n")
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._pass, client, platform)
                    await self._pass(platform, client)
                    tasks.cancel_scope.cancel()

    @staticmethod
    async def _pass(source: ByteReceiveStream, target: ByteSendStream) -> None:
        try:
            async for chunk in source:
                await target.send(chunk)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            return


@asynccontextmanager
async def proxying(leads_to: int) -> AsyncIterator[ConnectProxy]:
    """Run a proxy on a free port of loopback."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)  # noqa: S610 - not Django's
    proxy = ConnectProxy(port, leads_to)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, proxy.serve)
        yield proxy
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("host", "target"),
    [("platform.test", b"platform.test:443"), ("[2001:db8::1]", b"[2001:db8::1]:443")],
)
async def test_a_tunnel_is_asked_for_by_host_and_port(
    tls_server: "FaultServer", certificate: Path, host: str, target: bytes
) -> None:
    """With TLS inside; an IPv6 address has brackets, also in Host."""
    tls_server.plan("/a", OK)
    async with proxying(tls_server.port) as proxy:
        environ = {"https_proxy": f"http://127.0.0.1:{proxy.port}"}
        async with open_http(
            f"https://{host}", user_agent="x", ca_file=certificate, environ=environ
        ) as http:
            with anyio.fail_after(HANG_SECONDS):
                answer = await http.call("GET", "/a")
    assert answer.body == {"a": 42}
    [head] = proxy.heads
    first, *headers = head.split(b"\r\n")
    assert first == b"CONNECT %b HTTP/1.1" % target
    assert b"Host: " + target in headers


async def test_a_stream_goes_the_same_way(
    tls_server: "FaultServer", certificate: Path
) -> None:
    """Streams have a client of their own, but use the same proxy."""
    tls_server.plan("/s", OK)
    async with proxying(tls_server.port) as proxy:
        environ = {"all_proxy": f"127.0.0.1:{proxy.port}"}
        async with (
            open_http(
                "https://[2001:db8::1]",
                user_agent="x",
                ca_file=certificate,
                environ=environ,
            ) as http,
            http.stream("/s", bearer="b", query={}) as response,
        ):
            assert response.status_code == 200
    assert [head.split(b" ")[1] for head in proxy.heads] == [b"[2001:db8::1]:443"]


P = "http://u:hunter2@p:3128"


@pytest.mark.parametrize(
    ("environ", "url", "said"),
    [
        ({}, "https://app.test", "direct (neither https_proxy nor all_proxy is set)"),
        ({"https_proxy": P}, "https://app.test", "through the proxy p:3128 (https_proxy)"),
        ({"HTTPS_PROXY": P}, "https://app.test", "through the proxy p:3128 (HTTPS_PROXY)"),
        (
            {"https_proxy": "p:1", "HTTPS_PROXY": P},
            "https://app.test",
            "through the proxy p:1 (https_proxy)",
        ),
        (
            {"https_proxy": "", "HTTPS_PROXY": P, "all_proxy": "a:1"},
            "https://app.test",
            "through the proxy a:1 (all_proxy)",
        ),
        (
            {"http_proxy": P},
            "https://app.test",
            "direct (neither https_proxy nor all_proxy is set)",
        ),
        (
            {"https_proxy": P, "no_proxy": "x, .test"},
            "https://app.test",
            'direct (no_proxy has ".test")',
        ),
        (
            {"https_proxy": P, "NO_PROXY": "*"},
            "https://app.test",
            'direct (NO_PROXY has "*")',
        ),
        (
            {"https_proxy": P, "no_proxy": "", "NO_PROXY": "*"},
            "https://app.test",
            "through the proxy p:3128 (https_proxy)",
        ),
        *(
            ({"https_proxy": P}, f"https://{host}", "direct (the platform is on this host)")
            for host in ("127.0.0.1", "127.1", "[::1]", "[::ffff:127.0.0.1]", "a.localhost")
        ),
    ],
)
def test_the_way_and_what_decided_it(environ: dict[str, str], url: str, said: str) -> None:
    """By scheme, else for all; lower case first; never for this host; no password shown."""
    route = route_to(httpx.URL(url), environ)
    assert str(route) == said
    assert "hunter2" not in f"{route} {route!r}"


@pytest.mark.parametrize(
    ("entry", "fits", "not_for"),
    [
        ("example.com", "example.com", "notexample.com"),
        ("example.com", "a.b.example.com", "example.com.test"),
        (".example.com", "example.com", "example.co"),
        ("*.EXAMPLE.com.", "App.example.com.", "example.org"),
        ("bücher.test", "xn--bcher-kva.test", "bucher.test"),
        ("example.com:8443", "example.com:8443", "example.com:443"),
        ("10.0.0.1", "10.0.0.1", "10.0.0.2"),
        ("127.1", "127.0.0.1", "127.0.0.2"),
        ("0x0a000001", "10.1", "10.2"),
        ("::ffff:10.0.0.1", "10.0.0.1", "10.0.0.2"),
        ("10.0.0.1", "[::ffff:10.0.0.1]", "[::ffff:10.0.0.2]"),
        ("10.0.0.1:8443", "10.0.0.1:8443", "10.0.0.1:443"),
        ("0.0.1", "0.0.0.1", "10.0.0.1"),
        ("10.0.0.0/8", "10.255.1.1", "11.0.0.1"),
        ("10.9.9.9/8", "10.255.1.1", "11.0.0.1"),
        ("10.0.0.0/255.255.0.0", "10.0.9.9", "10.1.0.1"),
        ("10.0.0.0/8", "[::ffff:10.0.0.1]", "ten.test"),
        ("::ffff:10.0.0.0/104", "10.1.1.1", "11.0.0.1"),
        ("fd00::/8", "[fd12::1]", "[fe80::1]"),
        ("[fd00::]/8", "[fd12::1]", "10.0.0.1"),
        ("fd00::1", "[fd00:0:0:0:0:0:0:1]", "[fd00::2]"),
        ("[fd00::1]", "[fd00::1]", "[fd00::11]"),
        ("[fd00::1]:8443", "[fd00::1]:8443", "[fd00::1]:443"),
        ("*", "anything.test", None),
        ("", None, "example.com"),
        (".", None, "example.com"),
        ("10.0.0.0/99", None, "10.0.0.1"),
        ("1:2", None, "example.com"),
        ("/", None, "example.com"),
    ],
)
def test_what_no_proxy_names(entry: str, fits: str | None, not_for: str | None) -> None:
    """Domains, addresses in any spelling, networks and ports."""
    for where, found in ((fits, entry), (not_for, None)):
        if where is not None:
            url = httpx.URL(f"https://{where}")
            host, port = url.raw_host.decode(), url.port or 443
            assert exception_for(host, port, f"other.test, {entry} ,more.test") == found


@pytest.mark.parametrize(
    "named",
    [
        "socks5://u:hunter2@p:1",
        "http://",
        "http://u:hunter2@p:x",
        "http://u:hunter2@p:99999",
        "http://u:hunter2@p:-1",
        "http://u:hunter2@xn--a",
        "http://u:hunter2@10.0.0.256",
    ],
)
def test_a_useless_proxy_is_the_operators_to_mend(named: str) -> None:
    """An unusable proxy is a settings error that does not quote its password."""
    with pytest.raises(SettingsError, match="HTTPS_PROXY") as caught:
        route_to(httpx.URL("https://app.test"), {"HTTPS_PROXY": named})
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))
