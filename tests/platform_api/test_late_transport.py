"""A transport that is made for its first request."""

import anyio
import httpx

from rensei_daemon.platform_api.transport import LateTransport

REQUEST = httpx.Request("GET", "http://platform.test")


class Counted(httpx.AsyncBaseTransport):
    """A transport that counts what is asked of it."""

    def __init__(self) -> None:
        self.requests = self.closes = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer with nothing."""
        self.requests += 1
        return httpx.Response(204, request=request)

    async def aclose(self) -> None:
        """Count."""
        self.closes += 1


async def test_first_requests_share_one_transport() -> None:
    """It is made for the first of them, and closed at the end."""
    made: list[Counted] = []

    def make() -> Counted:
        made.append(Counted())
        return made[-1]

    late = LateTransport(make)
    assert made == []
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(late.handle_async_request, REQUEST)
    await late.aclose()
    assert [(one.requests, one.closes) for one in made] == [(3, 1)]


async def test_without_requests_there_is_nothing_to_close() -> None:
    """No transport is made for its end."""

    def make() -> Counted:
        raise AssertionError

    await LateTransport(make).aclose()
