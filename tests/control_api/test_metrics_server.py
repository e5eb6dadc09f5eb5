"""What is served over TCP: reads, to whoever means this host."""

import errno
import os
import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from deadlines import HANG_SECONDS
from rig.tcp import free_port, get, say

from rensei_daemon.control_api.server import serve_metrics
from rensei_daemon.control_api.wire import Request, Response, Routes, Text
from rensei_daemon.errors import RenseiError

GET = "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


async def _metrics(request: Request) -> Text:
    return Text("a 1\n", "text/plain; version=0.0.4")


async def _unready(request: Request) -> Response:
    return Response(503, {"ready": False})


async def _write(request: Request) -> Any:
    raise AssertionError


ROUTES: Routes = {
    ("GET", "/metrics"): _metrics,
    ("GET", "/readyz"): _unready,
    ("POST", "/write"): _write,
}


@asynccontextmanager
async def serving(host: str = "127.0.0.1") -> AsyncIterator[int]:
    """Serve on a port until the block ends."""
    port = free_port(host)

    async def serve(*, task_status: Any) -> None:
        await serve_metrics((host, port), ROUTES, task_status=task_status)

    with anyio.fail_after(HANG_SECONDS):
        async with anyio.create_task_group() as group:
            await group.start(serve)
            yield port
            group.cancel_scope.cancel()


async def test_text_is_served_as_it_is() -> None:
    """With the type its handler names."""
    async with serving() as port:
        head, body = await say(port, GET)
    assert head.splitlines() == [
        "HTTP/1.1 200 OK",
        "Content-Type: text/plain; version=0.0.4",
        "Content-Length: 4",
        "Connection: close",
    ]
    assert body == "a 1\n"


async def test_a_handler_may_choose_its_status() -> None:
    """A 503 is an answer too."""
    async with serving() as port:
        assert await get(port, "/readyz") == (503, '{"ready":false}')


async def test_nobody_may_write() -> None:
    """Even a route that somebody put there by mistake: no process is known to ask."""
    request = "POST /write HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
    async with serving() as port:
        head, body = await say(port, request)
    assert head.startswith("HTTP/1.1 403 ")
    assert "only root and the daemon's user" in body


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("127.0.0.1:9464", 200),
        ("localhost:9464", 200),
        ("[::1]:9464", 200),
        ("192.0.2.7", 200),
        ("rebound.example", 421),
        ("rebound.example:9464", 421),
        ("127.0.0.1.rebound.example", 421),
        ("localhost.rebound.example", 421),
        ("[", 421),
    ],
)
async def test_a_web_page_cannot_have_a_browser_read_it(host: str, status: int) -> None:
    """On a loopback address, a request that names another site was not meant for us."""
    async with serving() as port:
        found, _ = await get(port, "/metrics", named=host)
    assert found == status


async def test_a_scraper_elsewhere_may_know_this_host_by_name() -> None:
    """Where more than this host may ask, its name is nobody's secret."""
    async with serving("0.0.0.0") as port:
        status, _ = await get(port, "/metrics", named="build-01.example:9464")
    assert status == 200


@pytest.mark.needs("IPv6")
async def test_it_listens_on_ipv6() -> None:
    """An address with colons is one of the other family."""
    async with serving("::1") as port:
        status, _ = await get(port, "/metrics", named="[::1]", host="::1")
    assert status == 200


class Reports:
    """What was reported of an address, and a wait for it."""

    def __init__(self) -> None:
        self.errors: list[RenseiError] = []
        self.failed, self.served = anyio.Event(), anyio.Event()

    def __call__(self, error: RenseiError | None) -> None:
        """Note a report."""
        if error is None:
            self.served.set()
        else:
            self.errors.append(error)
            self.failed.set()


@asynccontextmanager
async def trying(host: str, port: int) -> AsyncIterator[Reports]:
    """Try to serve there until the block ends."""
    reports = Reports()

    async def serve(*, task_status: Any) -> None:
        await serve_metrics(
            (host, port),
            ROUTES,
            report=reports,
            retry_seconds=0.01,
            task_status=task_status,
        )

    with anyio.fail_after(HANG_SECONDS):
        async with anyio.create_task_group() as group:
            await group.start(serve)
            yield reports
            group.cancel_scope.cancel()


async def test_a_port_that_is_taken_is_served_once_it_is_free() -> None:
    """Until then the operator reads which, of which key, and how to see who has it."""
    port = free_port()
    taken = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=port)
    async with trying("127.0.0.1", port) as reports:
        assert reports.failed.is_set()
        await taken.aclose()
        await reports.served.wait()
        assert (await get(port, "/metrics"))[0] == 200
    reason = os.strerror(errno.EADDRINUSE)
    assert str(reports.errors[0]) == (
        f"cannot listen on 127.0.0.1:{port} for [metrics].listen: {reason}"
    )
    assert reports.errors[0].hint == "another process listens there; see which: ss -ltnp"


async def test_an_address_of_another_host_is_reported() -> None:
    """It may become one of this host's, when its network is up."""
    async with trying("192.0.2.7", 9464) as reports:
        error = reports.errors[0]
    assert error.hint == "use an address of this host; list them: ip address"


async def test_a_process_without_free_descriptors_tries_again() -> None:
    """The socket itself cannot be made."""
    port, limits = free_port(), resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
    try:
        async with trying("127.0.0.1", port) as reports:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            await reports.served.wait()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert reports.errors[0].hint == "set another [metrics].listen, or none"


async def test_the_port_is_free_again_at_once() -> None:
    """Also while a connection of the last run lingers."""
    async with serving() as port:
        await get(port, "/metrics")
    with anyio.fail_after(HANG_SECONDS):
        async with anyio.create_task_group() as group:
            await group.start(_serve_again, port)
            status, _ = await get(port, "/metrics")
            group.cancel_scope.cancel()
    assert status == 200


async def _serve_again(port: int, *, task_status: Any) -> None:
    await serve_metrics(("127.0.0.1", port), ROUTES, task_status=task_status)
