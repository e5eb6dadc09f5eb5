"""Clients that were replaced."""

import httpx

from rensei_daemon.platform_api.clients import Clients
from rensei_daemon.platform_api.proxies import Route
from rensei_daemon.platform_api.readable_sockets import ReadableSockets
from rensei_daemon.platform_api.trust import Tls

URL = httpx.URL("http://127.0.0.1:1")


def clients(call_seconds: float) -> Clients:
    """Return the clients of a platform that is not there."""
    route, tls = Route(None, ""), Tls(URL, None, None)
    return Clients(
        URL,
        route,
        tls,
        user_agent="x",
        call_seconds=call_seconds,
        stream_sockets=ReadableSockets(),
    )


async def test_a_replaced_client_is_closed_once_its_requests_have_ended() -> None:
    """The last one stays open for as long as a call may take."""
    made = clients(call_seconds=0.0)
    first = made.requests
    await made.replace_requests()
    second = made.requests
    await made.replace_requests()
    assert (first.is_closed, second.is_closed, made.requests.is_closed) == (
        True,
        False,
        False,
    )
    await made.aclose()
    assert second.is_closed
    assert made.requests.is_closed


async def test_requests_of_several_replaced_clients_may_run() -> None:
    """None is closed before its time."""
    made = clients(call_seconds=3600.0)
    first = made.requests
    for _ in range(3):
        await made.replace_requests()
    assert not first.is_closed
    await made.aclose()
    assert first.is_closed
