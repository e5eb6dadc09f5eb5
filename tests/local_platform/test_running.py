"""A platform in the caller's loop: its start, its end, and what it lets a test see."""

import errno
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from deadlines import HANG_SECONDS

from rensei_daemon.local_platform.running import RunningPlatform, running
from rensei_daemon.local_platform.settings import PlatformSettings

Call = Callable[..., Coroutine[Any, Any, httpx.Response]]

STREAM = "/api/daemon/credentials/rotate-stream?sessionId=build"


async def test_it_listens_on_loopback_while_the_block_runs(
    client: httpx.AsyncClient,
) -> None:
    """The port is free before and after, and answers in between."""
    async with running(PlatformSettings()) as platform:
        assert platform.url.startswith("http://127.0.0.1:")
        answer = await client.get(f"{platform.url}/api/openapi.json")
        assert answer.status_code == 200
    with pytest.raises(httpx.ConnectError):
        await client.get(f"{platform.url}/api/openapi.json")


async def test_a_taken_port_is_an_os_error(platform: RunningPlatform) -> None:
    """A port in use is refused at once, by its errno."""
    port = int(platform.url.rpartition(":")[2])
    with pytest.raises(OSError, match="in use") as caught:
        async with running(port=port):
            pass
    assert caught.value.errno == errno.EADDRINUSE


async def test_it_leaves_the_signals_alone() -> None:
    """Whoever runs it decides what SIGINT and SIGTERM mean."""
    before = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    async with running():
        inside = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    after = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    assert before == inside == after


@pytest.mark.parametrize("ending", [None, ValueError("the caller's own")])
async def test_it_ends_at_once_with_streams_open(
    client: httpx.AsyncClient, ending: ValueError | None
) -> None:
    """Open streams and idle connections end with it; an error comes out as itself."""
    caught = None
    with anyio.fail_after(HANG_SECONDS):
        try:
            async with running() as platform:
                platform.state.add_org("acme")
                key = platform.state.add_key("acme")
                request = client.build_request(
                    "GET",
                    f"{platform.url}{STREAM}",
                    headers={"Authorization": f"Bearer {key}"},
                )
                answer = await client.send(request, stream=True)
                await client.get(f"{platform.url}/api/openapi.json")
                if ending is not None:
                    raise ending
        except ValueError as error:
            caught = error
        assert await answer.aread() == b": hello\n\n"
        await answer.aclose()
    assert caught is ending
    assert not platform.state.streams


async def test_it_ends_though_a_reader_is_stuck() -> None:
    """A stream whose reader takes nothing is cut, a moment later."""
    with anyio.fail_after(HANG_SECONDS):
        async with running() as platform:
            platform.state.add_org("acme")
            platform.state.set_credential("acme", "k", "A", "x" * 8_000_000)
            key = platform.state.add_key("acme")
            port = int(platform.url.rpartition(":")[2])
            request = (
                f"GET {STREAM} HTTP/1.1\r\nhost: localhost\r\n"
                f"authorization: Bearer {key}\r\n\r\n"
            )
            stream = await anyio.connect_tcp("127.0.0.1", port)
            await stream.send(request.encode())
            await platform.until(lambda state: bool(state.streams))
            platform.state.set_credential("acme", "k", "A", "y" * 8_000_000, is_staged=True)
            platform.state.rotate("acme", "k")
    assert not platform.state.streams
    await stream.aclose()


async def test_it_ends_though_a_request_is_half_sent() -> None:
    """A request that never comes whole is given up."""
    with anyio.fail_after(HANG_SECONDS):
        async with running() as platform:
            key = platform.state.add_key(platform.state.add_org("acme").id)
            port = int(platform.url.rpartition(":")[2])
            request = (
                "POST /api/workers/register HTTP/1.1\r\nhost: localhost\r\n"
                f"authorization: Bearer {key}\r\ncontent-length: 99\r\n\r\n{{"
            )
            stream = await anyio.connect_tcp("127.0.0.1", port)
            await stream.send(request.encode())
            await anyio.wait_all_tasks_blocked()
    await stream.aclose()


async def test_a_platform_that_breaks_says_so(
    platform: RunningPlatform, call: Call, key: str
) -> None:
    """An error nobody foresaw is a 500 in the form of every other error."""

    def full_disk(records: object) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    platform.state.listen(full_disk)
    body = {"hostname": "h1", "capacity": 1}
    answer = await call("POST", "/api/workers/register", key, body)
    assert answer.status_code == 500
    assert answer.json() == {"error": "Internal server error"}


async def test_it_ends_when_its_caller_is_cancelled() -> None:
    """Cancelled in mid-block, it closes its port all the same."""
    with anyio.CancelScope() as scope:
        async with running() as platform:
            scope.cancel()
            await anyio.sleep_forever()
    with pytest.raises(OSError, match="connect"):
        await anyio.connect_tcp("127.0.0.1", int(platform.url.rpartition(":")[2]))


async def test_a_condition_is_waited_for(
    platform: RunningPlatform, call: Call, key: str
) -> None:
    """`until` returns once a change makes it true, and at once when it is true."""
    await platform.until(lambda state: not state.workers)
    with anyio.fail_after(HANG_SECONDS):
        async with anyio.create_task_group() as tasks:
            body = {"hostname": "h1", "capacity": 1}
            tasks.start_soon(call, "POST", "/api/workers/register", key, body)
            await platform.until(lambda state: len(state.workers) == 1)


async def test_a_state_file_is_remembered(call: Call, tmp_path: Path) -> None:
    """Keys, workers, tokens and mutations outlive the process."""
    settings = PlatformSettings(state_file=tmp_path / "platform.db")
    async with running(settings) as platform:
        platform.state.add_org("acme")
        key = platform.state.add_key("acme")
        url = f"{platform.url}/api/workers/register"
        body = {"hostname": "h1", "capacity": 1}
        worker = (await call("POST", url, key, body)).json()
        mutation = platform.state.enqueue("h1", "project.remove", {"id": "proj_a"})
    async with running(settings) as platform:
        url = f"{platform.url}/api/workers/{worker['workerId']}/heartbeat"
        for bearer in (key, worker["runtimeToken"]):
            answer = await call("POST", url, bearer, {"activeCount": 0})
            pending = answer.json()["pendingMutations"]
            assert [owed["id"] for owed in pending] == [mutation.id]


async def test_without_a_state_file_nothing_is_remembered() -> None:
    """Two platforms in memory know nothing of one another."""
    async with running() as one, running() as two:
        one.state.add_org("acme")
        assert not two.state.tables.orgs


async def test_answers_do_not_wait_for_an_ack(platform: RunningPlatform) -> None:
    """Accepted connections have TCP_NODELAY on: a delayed ACK costs 40 ms an answer."""
    port = int(platform.url.rpartition(":")[2])
    request = b"GET /api/nowhere HTTP/1.1\r\nhost: localhost\r\n\r\n"
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        started = anyio.current_time()
        for _ in range(10):
            await stream.send(request)
            answer = b""
            while not answer.endswith(b"}"):
                answer += await stream.receive()
        assert anyio.current_time() - started < 0.2
