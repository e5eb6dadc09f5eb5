"""Wrong answers on demand."""

from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import httpx
from deadlines import HANG_SECONDS

from rensei_daemon.local_platform.running import RunningPlatform, running

Call = Callable[..., Coroutine[Any, Any, httpx.Response]]

REGISTER = "/api/workers/register"
H1 = {"hostname": "h1", "capacity": 1}


async def test_a_fault_answers_the_next_requests(
    platform: RunningPlatform, call: Call, key: str
) -> None:
    """It answers as often as was asked, below its path, and the app sees none of it."""
    fault = platform.faults.add("post", "/api/workers", status=500, times=2)
    assert (await call("GET", "/api/openapi.json")).status_code == 200
    for _ in range(2):
        answer = await call("POST", REGISTER, key, H1)
        assert (answer.status_code, answer.json()) == (500, {"error": "fault 500"})
    assert not platform.state.workers
    assert (await call("POST", REGISTER, key, H1)).status_code == 200
    assert fault.served == [b'{"hostname":"h1","capacity":1}'] * 2


async def test_a_fault_can_be_anything(platform: RunningPlatform, call: Call) -> None:
    """Status, body, headers and content type are the test's to choose."""
    platform.faults.add(
        "POST",
        "/",
        status=200,
        body="<html>",
        headers={"Retry-After": "7"},
        content_type="text/html",
    )
    answer = await call("POST", REGISTER)
    assert answer.status_code == 200
    assert answer.text == "<html>"
    assert answer.headers["retry-after"] == "7"
    assert answer.headers["content-type"].startswith("text/html")


async def test_faults_come_in_the_order_they_were_added(
    platform: RunningPlatform, call: Call, key: str
) -> None:
    """The oldest that fits answers first; cleared ones answer no more."""
    platform.faults.add("POST", "/api", status=429)
    platform.faults.add("POST", "/api", status=502, times=9)
    statuses = [(await call("POST", REGISTER, key, H1)).status_code for _ in range(2)]
    assert statuses == [429, 502]
    platform.faults.clear()
    assert (await call("POST", REGISTER, key, H1)).status_code == 200


async def test_a_served_fault_can_be_waited_for(
    platform: RunningPlatform, call: Call
) -> None:
    """`until` looks again when a fault has answered."""
    fault = platform.faults.add("POST", "/api")
    with anyio.fail_after(HANG_SECONDS):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call, "POST", REGISTER)
            await platform.until(lambda _: bool(fault.served))


async def test_an_answer_can_be_lost(
    platform: RunningPlatform, call: Call, key: str
) -> None:
    """With `app_sees` the platform does as it was asked, and is not heard."""
    platform.faults.add("POST", REGISTER, status=502, app_sees=True)
    assert (await call("POST", REGISTER, key, H1)).status_code == 502
    assert [w.registration for w in platform.state.workers] == [H1]


async def test_an_answer_can_be_held_back(
    platform: RunningPlatform, call: Call, key: str
) -> None:
    """What was answered before a change arrives after it; the next is not held."""
    path = "/api/daemon/credentials/snapshot"
    body = {"orgId": "org_acme", "sessionId": "build"}
    state = platform.state
    state.set_credential("acme", "k", "A", "old")
    hold = platform.faults.hold("post", path)
    late: list[httpx.Response] = []

    async def ask() -> None:
        late.append(await call("POST", path, key, body))

    with anyio.fail_after(HANG_SECONDS):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await hold.ready.wait()
            state.set_credential("acme", "k", "A", "new")
            answer = await call("POST", path, key, body)
            assert answer.json()["env"] == {"A": "new"}
            assert not late
            hold.release()
    assert late[0].json()["env"] == {"A": "old"}


async def test_what_is_held_goes_out_at_the_end(call: Call) -> None:
    """A platform that ends does not wait for a hold nobody releases."""
    late: list[httpx.Response] = []
    with anyio.fail_after(HANG_SECONDS):
        async with anyio.create_task_group() as tasks, running() as platform:
            hold = platform.faults.hold("GET", "/lab")

            async def ask() -> None:
                late.append(await call("GET", f"{platform.url}/lab/state"))

            tasks.start_soon(ask)
            await hold.ready.wait()
    assert [answer.status_code for answer in late] == [200]
