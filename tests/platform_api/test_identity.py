"""The worker and its token, when registrations and refreshes succeed or fail."""

import traceback
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import anyio
import pytest
import structlog
from deadlines import HANG_SECONDS

from rensei_daemon.core.worker import Worker
from rensei_daemon.errors import (
    PlatformError,
    RefusedError,
    SettingsError,
    TransientError,
    UnauthorizedError,
)
from rensei_daemon.platform_api.http import Http
from rensei_daemon.platform_api.identity import Identity

if TYPE_CHECKING:
    from platform_api.conftest import Clock, FaultServer, Safe

KEY = "rsk_live_" + "c0ffee" * 10 + "beef"
NEW_KEY = "rsk_live_" + "decade" * 10 + "beef"
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJvcmciOiJvcmdfMSJ9.c2lnbmF0dXJlLW9uZQ"
"""Says {"org": "org_1"}."""
NEW_TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJvcmciOiJvcmdfMSJ9.c2lnbmF0dXJlLXR3bw"
EXPIRING_TOKEN = "e30.eyJleHAiOjE3ODgyMjQ0MDB9.x"
"""Says {"exp": 1788224400}, which is 2026-09-01 01:00 UTC."""
DATE = "Tue, 01 Sep 2026 00:00:00 GMT"
HOUR = datetime(2026, 9, 1, 1, 0, tzinfo=UTC)
BARE = Worker(id="wkr_1", machine_id="mid_1")
"""As a reboot leaves it."""
OLD = Worker(id="wkr_1", machine_id="mid_1", token=TOKEN, token_expires_at=HOUR)

Identify = Callable[..., Identity]


def registered(
    server: "FaultServer", worker_id: str = "wkr_1", token: str = TOKEN
) -> bytes:
    """Answer a registration."""
    return server.say(
        200,
        {
            "workerId": worker_id,
            "heartbeatInterval": 1500,
            "runtimeToken": token,
            "runtimeTokenExpiresAt": "2026-09-01T01:00:00Z",
        },
        date=DATE,
    )


def refreshed(server: "FaultServer", token: str = NEW_TOKEN) -> bytes:
    """Answer a refresh."""
    return server.say(
        200, {"runtimeToken": token, "expiresAt": "2026-09-01T01:00:00Z"}, date=DATE
    )


async def test_a_new_host_registers_once(
    server: "FaultServer", identify: Identify, safe: "Safe"
) -> None:
    """Twenty tasks that need a worker cause one registration, and share its worker."""
    server.plan("register", registered(server))
    identity = identify()
    found: list[Worker] = []

    async def lane() -> None:
        found.append(await identity.enrolled())

    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(lane)
    worker = Worker(
        id="wkr_1",
        machine_id="mid_1",
        token=TOKEN,
        token_expires_at=HOUR,
        heartbeat_seconds=1.5,
        org_id="org_1",
        registered_report="3e84b12222b44638219bc0e733d4bd05e8c761810a716ae9296c44c927759a6b",
    )
    assert found == [worker] * 20
    assert safe.saved == [worker]
    assert identity.org_id == "org_1"
    [request] = server.received
    assert (request.path, request.bearer) == ("/api/workers/register", KEY)
    assert request.json["machineId"] == "mid_1"


@pytest.mark.parametrize("status", [404, 405])
async def test_an_older_platform_is_registered_with_in_its_own_way(
    server: "FaultServer", identify: Identify, status: int
) -> None:
    """If the current endpoint is missing, the older one gets the key in the body."""
    server.plan("/api/workers/register", server.say(status))
    body = {"workerId": "wkr_9", "runtimeJwt": TOKEN, "heartbeatIntervalSeconds": 20}
    server.plan("/v1/daemon/register", server.say(200, body))
    identity = identify()
    worker = await identity.enrolled()
    assert (worker.id, worker.token, worker.heartbeat_seconds) == ("wkr_9", TOKEN, 20)
    assert identity.is_old
    request = server.received[-1]
    assert (request.bearer, request.json["registrationToken"]) == ("", KEY)


@pytest.mark.parametrize("status", [400, 401, 403, 500])
async def test_a_refused_registration_leaves_no_worker(
    server: "FaultServer", identify: Identify, safe: "Safe", status: int
) -> None:
    """Another refusal is raised, and nothing is saved."""
    server.plan("register", server.say(status, {"error": f"not with {KEY}"}))
    identity = identify()
    with pytest.raises(PlatformError) as caught:
        await identity.enrolled()
    assert (identity.worker, safe.saved) == (None, [])
    assert "c0ffee" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("status", "remedy"),
    [
        (400, "look at what this host registers with, [machine] and [projects]"),
        (404, "nothing there registers hosts: look at platform.url"),
        (405, "nothing there registers hosts: look at platform.url"),
    ],
)
async def test_a_refused_registration_says_what_to_look_at(
    server: "FaultServer", identify: Identify, status: int, remedy: str
) -> None:
    """The hint names the key, or the url if both endpoints are missing."""
    server.plan("register", *[server.say(status, {"error": "no"})] * 2)
    with pytest.raises(RefusedError) as caught:
        await identify().enrolled()
    assert caught.value.hint.startswith(remedy)


async def test_a_registration_without_a_worker_is_none(
    server: "FaultServer", identify: Identify
) -> None:
    """An answer without a worker id is retried."""
    server.plan("register", server.say(200, {"runtimeToken": TOKEN}))
    with pytest.raises(TransientError, match="without a workerId"):
        await identify().enrolled()


async def test_a_saved_worker_needs_no_registration(
    server: "FaultServer", identify: Identify
) -> None:
    """A saved worker is used without a request."""
    assert await identify(OLD).enrolled() == OLD
    assert server.received == []


async def test_another_machine_registers_anew(
    server: "FaultServer", identify: Identify
) -> None:
    """A worker that another machine registered is not used."""
    server.plan("register", registered(server, "wkr_2"))
    saved = Worker(id="wkr_1", machine_id="mid_other", token=TOKEN)
    assert (await identify(saved).enrolled()).id == "wkr_2"


async def test_a_reboot_keeps_the_worker(server: "FaultServer", identify: Identify) -> None:
    """A saved worker without a token is refreshed, not registered again."""
    server.plan("refresh-token", refreshed(server))
    worker = await identify(Worker(id="wkr_1", machine_id="mid_1")).enrolled()
    assert (worker.id, worker.token) == ("wkr_1", NEW_TOKEN)
    assert [request.path for request in server.received] == [
        "/api/workers/wkr_1/refresh-token"
    ]


async def test_an_old_kind_of_key_goes_on_without_a_token(
    server: "FaultServer", identify: Identify
) -> None:
    """If a registration returns no token, the key is the worker's bearer."""
    server.plan("register", server.say(200, {"workerId": "wkr_1", "runtimeToken": None}))
    identity = identify()
    worker = await identity.enrolled()
    assert (await identity.enrolled(), identity.bearer(worker)) == (worker, KEY)
    assert len(server.received) == 1


async def test_twenty_refused_lanes_refresh_once(
    server: "FaultServer", identify: Identify, safe: "Safe"
) -> None:
    """One refresh serves every task, and keeps the worker's id."""
    server.plan("refresh-token", refreshed(server))
    identity = identify(OLD)
    found: list[Worker] = []

    async def lane() -> None:
        found.append(await identity.refresh(OLD))

    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(lane)
    assert {(worker.id, worker.token) for worker in found} == {("wkr_1", NEW_TOKEN)}
    assert len(found) == 20
    [request] = server.received
    assert (request.bearer, request.json) == (KEY, {})
    assert [worker.token for worker in safe.saved] == [NEW_TOKEN]


async def test_twenty_refused_lanes_share_a_failure(
    server: "FaultServer", identify: Identify
) -> None:
    """A failed refresh fails for every task that waited for it, after one request."""
    server.plan("refresh-token", server.say(503))
    identity = identify(OLD)
    failures: list[str] = []

    async def lane() -> None:
        try:
            await identity.refresh(OLD)
        except TransientError as error:
            failures.append(str(error))

    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(lane)
    assert len(failures) == 20
    assert len(server.received) == 1
    assert identity.worker == OLD


async def test_a_late_lane_takes_what_another_got(
    server: "FaultServer", identify: Identify
) -> None:
    """A task that was refused with an old token gets the current one without a request."""
    server.plan("refresh-token", refreshed(server))
    identity = identify(OLD)
    fresh = await identity.refresh(OLD)
    assert await identity.refresh(OLD) == fresh
    assert len(server.received) == 1


async def test_a_cancelled_refresh_is_taken_over(
    server: "FaultServer", identify: Identify
) -> None:
    """When the task that refreshes is cancelled, the next one refreshes."""
    never = anyio.Event()
    server.plan("refresh-token", [never], [refreshed(server)])
    identity = identify(OLD)
    with anyio.fail_after(HANG_SECONDS):
        async with anyio.create_task_group() as tasks:
            leader = anyio.CancelScope()

            async def lead() -> None:
                with leader:
                    await identity.refresh(OLD)

            tasks.start_soon(lead)
            while not server.received:
                await anyio.lowlevel.checkpoint()
            tasks.start_soon(identity.refresh, OLD)
            await anyio.lowlevel.checkpoint()
            leader.cancel()
    never.set()
    assert identity.worker is not None
    assert identity.worker.token == NEW_TOKEN


@pytest.mark.parametrize("status", [307, 401])
async def test_a_refused_key_gives_way_to_the_token(
    server: "FaultServer", identify: Identify, status: int
) -> None:
    """When the key is refused for a refresh, the worker's token is tried."""
    server.plan("refresh-token", server.say(status), refreshed(server))
    worker = await identify(OLD).refresh(OLD)
    assert worker.token == NEW_TOKEN
    assert [request.bearer for request in server.received] == [KEY, TOKEN]


async def test_a_new_key_is_read_after_a_refusal(
    server: "FaultServer", identify: Identify, safe: "Safe"
) -> None:
    """After a 401 the key is read again, and a new key is tried before the token."""
    safe.keys = [KEY, NEW_KEY]
    server.plan("refresh-token", server.say(401), refreshed(server))
    identity = identify(OLD)
    await identity.refresh(OLD)
    assert [request.bearer for request in server.received] == [KEY, NEW_KEY]
    assert identity.key.value == NEW_KEY


@pytest.mark.parametrize("status", [307, 400, 401, 403, 500, 503])
async def test_a_failed_refresh_keeps_the_worker(
    server: "FaultServer", identify: Identify, safe: "Safe", status: int
) -> None:
    """After any refusal nothing is deleted and nothing registered."""
    server.plan("refresh-token", server.say(status, {"error": f"{KEY} {TOKEN}"}))
    identity = identify(OLD)
    with pytest.raises(PlatformError) as caught:
        await identity.refresh(OLD)
    assert (identity.worker, safe.saved, server.asked("register")) == (OLD, [], [])
    told = "".join(traceback.format_exception(caught.value)) + caught.value.hint
    assert "c0ffee" not in told
    assert "eyJ" not in told


async def test_a_refresh_without_a_token_is_none(
    server: "FaultServer", identify: Identify
) -> None:
    """An answer without a token is retried."""
    server.plan("refresh-token", server.say(200, {"runtimeToken": None}))
    with pytest.raises(TransientError, match="without a token"):
        await identify(OLD).refresh(OLD)


@pytest.mark.parametrize("status", [404, 405])
async def test_a_forgotten_worker_registers_anew_once_a_minute(
    server: "FaultServer", identify: Identify, clock: "Clock", status: int
) -> None:
    """404 and 405 cause a new registration, but no second one within 60 s."""
    server.plan("refresh-token", server.say(status))
    server.plan(
        "register", registered(server, "wkr_2"), registered(server, "wkr_3", NEW_TOKEN)
    )
    identity = identify(OLD)
    second = await identity.refresh(OLD)
    assert second.id == identity.worker_id == "wkr_2"
    clock.seconds += 59.9
    with pytest.raises(TransientError, match="less than a minute ago"):
        await identity.refresh(second)
    assert identity.worker == second
    clock.seconds += 0.1
    assert (await identity.refresh(second)).id == "wkr_3"
    assert len(server.asked("register")) == 2


async def test_a_failed_registration_counts_too(
    server: "FaultServer", identify: Identify, clock: "Clock"
) -> None:
    """The minute starts with the request, and the worker stays meanwhile."""
    server.plan("refresh-token", server.say(404))
    server.plan("register", server.say(503), registered(server, "wkr_2"))
    identity = identify(OLD)
    for _ in range(3):
        with pytest.raises(TransientError):
            await identity.refresh(OLD)
    assert (identity.worker, len(server.asked("register"))) == (OLD, 1)
    clock.seconds += 60
    assert (await identity.refresh(OLD)).id == "wkr_2"


@pytest.mark.parametrize(
    ("said", "kept"), [(1500, 5.0), (30_000, 30.0), (3_600_000, 300.0), (None, None)]
)
async def test_a_distant_platform_sets_a_sane_pace(
    server: "FaultServer",
    http: Http,
    identify: Identify,
    said: int | None,
    kept: float | None,
) -> None:
    """Its interval is limited to 5 s to 5 min."""
    http.is_loopback = False
    body = {"workerId": "wkr_1", "runtimeToken": TOKEN, "heartbeatInterval": said}
    server.plan("register", server.say(200, body))
    assert (await identify().enrolled()).heartbeat_seconds == kept


async def test_a_refresh_that_names_no_pace_keeps_the_old_one(
    server: "FaultServer", identify: Identify
) -> None:
    """A refresh without an interval keeps the old one."""
    server.plan("refresh-token", refreshed(server))
    worker = await identify(replace(OLD, heartbeat_seconds=7.0)).refresh(OLD)
    assert worker.heartbeat_seconds == 7


async def test_a_key_that_cannot_be_read_again_leaves_the_old_one(
    server: "FaultServer", http: Http, identify: Identify, safe: "Safe"
) -> None:
    """A missing key file is reported, and does not end the daemon."""
    identity = identify(OLD)
    safe.gone = SettingsError("the key file is gone", hint="put it back")
    server.plan("/", server.say(401))
    with pytest.raises(UnauthorizedError, match="key file is gone") as caught:
        await identity.key.ask(lambda key: http.call("GET", "/", bearer=key))
    assert (caught.value.hint, identity.key.value) == ("put it back", KEY)
    assert "c0ffee" not in repr(identity.key)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"status": 401}, "systemctl restart rensei-daemon"),
        ({"status": 307, "location": "/login"}, "check platform.url too"),
    ],
)
async def test_a_key_that_is_refused_says_how_a_new_one_is_taken_up(
    server: "FaultServer",
    http: Http,
    identify: Identify,
    answer: dict[str, Any],
    said: str,
) -> None:
    """A credential of the unit needs a restart; a redirect may have another cause."""
    identity = identify(OLD)
    server.plan("/", server.say(**answer))
    with pytest.raises(UnauthorizedError) as caught:
        await identity.key.ask(lambda key: http.call("GET", "/", bearer=key))
    assert said in caught.value.hint


@pytest.mark.parametrize(
    ("saved", "date", "due"),
    [
        (OLD, datetime(2026, 9, 1, 0, 0, tzinfo=UTC), 3300),
        (OLD, datetime(2026, 9, 1, 0, 54, 50, tzinfo=UTC), 10),
        (OLD, datetime(2027, 9, 1, 0, 0, tzinfo=UTC), 10),
        (Worker(id="w", machine_id="mid_1", token=TOKEN), HOUR, 3300),
        (OLD, datetime(1970, 1, 1, 0, 1, tzinfo=UTC), 3300),
    ],
    ids=["in-time", "soon", "expired", "no-expiry", "clock-not-set-yet"],
)
async def test_a_token_is_refreshed_five_minutes_before_it_expires(
    server: "FaultServer",
    identify: Identify,
    clock: "Clock",
    saved: Worker,
    date: datetime,
    due: float,
) -> None:
    """Never in less than 10 s; without an expiry an hour is assumed; failures wait 60 s."""
    server.plan("refresh-token", server.say(503), server.say(503), refreshed(server))
    identity = identify(saved, now=lambda: date)
    with structlog.testing.capture_logs() as events, anyio.fail_after(HANG_SECONDS):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(identity.keep_fresh)
            while len(clock.slept) < 4:
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
    # The answer's own Date counts from then on, whatever this host's clock says.
    assert clock.slept == [due, 60, 60, 3300]
    assert [(event["log_level"], event["event"]) for event in events] == [
        ("warning", "token.refresh_failed"),
        ("debug", "token.refresh_failed"),
        ("info", "token.refreshed"),
        ("info", "token.recovered"),
    ]
    assert (events[-1]["count"], events[-1]["seconds"]) == (2, 120)


async def test_a_token_another_lane_refreshed_is_left_alone(
    server: "FaultServer", http: Http, safe: "Safe", identify: Identify, clock: "Clock"
) -> None:
    """The refresh is scheduled by the newest token's expiry."""
    server.plan("refresh-token", refreshed(server))
    now = datetime(2026, 9, 1, 0, 0, tzinfo=UTC)
    identity = identify(OLD, now=lambda: now)
    clock.wake = lambda: identity.refresh(OLD)
    with anyio.fail_after(HANG_SECONDS):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(identity.keep_fresh)
            while len(clock.slept) < 3:
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
    assert clock.slept[:2] == [3300, 3300]
    assert len(server.received) == 2


async def test_a_token_may_carry_its_own_expiry(
    server: "FaultServer", identify: Identify
) -> None:
    """Without an expiry in the answer, the one inside the token counts."""
    body = {"workerId": "wkr_1", "runtimeToken": EXPIRING_TOKEN}
    server.plan("register", server.say(200, body))
    assert (await identify().enrolled()).token_expires_at == HOUR


async def test_a_missing_token_is_asked_for_until_there_is_one(
    server: "FaultServer", identify: Identify, clock: "Clock"
) -> None:
    """After a reboot: at once, then after up to 1, 2, 4 s; later five minutes early."""
    server.plan("refresh-token", *[server.say(503)] * 3, refreshed(server))
    identity = identify(BARE, now=lambda: HOUR)
    with anyio.fail_after(HANG_SECONDS):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(identity.keep_fresh)
            while len(clock.slept) < 5:
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
    assert clock.slept == [0, 1, 2, 4, 3300]


async def test_a_platform_that_answers_is_asked_for_the_missing_token_at_once(
    server: "FaultServer", identify: Identify
) -> None:
    """Any wait ends; a worker that has its token is not refreshed."""
    server.plan("refresh-token", server.say(503), refreshed(server))
    naps: list[float] = []
    asleep = anyio.Event()

    async def sleep(seconds: float) -> None:
        if seconds:
            naps.append(seconds)
            asleep.set()
            await anyio.sleep_forever()

    identity = identify(BARE, now=lambda: HOUR, sleep=sleep)
    with anyio.fail_after(HANG_SECONDS):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(identity.keep_fresh)
            for _ in range(3):
                await asleep.wait()
                asleep = anyio.Event()
                identity.retry_now()
            await asleep.wait()
            tasks.cancel_scope.cancel()
    assert naps == [1, 3300, 3300, 3300]
    assert [request.bearer for request in server.received] == [KEY, KEY]
    assert identity.worker is not None
    assert identity.worker.token == NEW_TOKEN


async def test_the_organisation_is_known_from_before_a_reboot(
    server: "FaultServer", identify: Identify
) -> None:
    """The saved organisation is used while there is no token."""
    server.plan("refresh-token", server.say(503))
    identity = identify(replace(BARE, org_id="org_1"))
    with pytest.raises(TransientError):
        await identity.organisation()
    assert await identity.organisation() == "org_1"
    assert len(server.received) == 1


async def test_an_unknown_organisation_is_worth_asking_for_a_token(
    server: "FaultServer", identify: Identify, safe: "Safe"
) -> None:
    """A token is requested even after failures, and its organisation is saved."""
    server.plan("refresh-token", *[server.say(503)] * 2, refreshed(server))
    identity = identify(BARE)
    for _ in range(2):
        with pytest.raises(TransientError):
            await identity.organisation()
    assert await identity.organisation() == "org_1"
    assert [worker.org_id for worker in safe.saved] == ["org_1"]


async def test_a_key_that_gives_no_token_names_no_organisation(
    server: "FaultServer", identify: Identify
) -> None:
    """An old kind of key is not refreshed to learn the organisation."""
    server.plan("register", server.say(200, {"workerId": "wkr_1", "runtimeToken": None}))
    identity = identify()
    assert [await identity.organisation() for _ in range(3)] == [""] * 3
    assert len(server.received) == 1


async def test_a_new_worker_does_not_inherit_the_organisation(
    server: "FaultServer", identify: Identify
) -> None:
    """A new registration, perhaps with another key, drops the old organisation."""
    server.plan("refresh-token", server.say(404))
    server.plan("register", registered(server, "wkr_2", token="opaque"))
    identity = identify(replace(BARE, org_id="org_1"))
    assert (await identity.enrolled()).org_id == ""


async def test_nothing_is_refreshed_before_there_is_a_worker(
    server: "FaultServer", identify: Identify, clock: "Clock"
) -> None:
    """The refresher waits for the registration."""
    server.plan("register", registered(server))
    identity = identify()
    with anyio.fail_after(HANG_SECONDS):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(identity.keep_fresh)
            await identity.enrolled()
            assert server.asked("refresh") == []
            tasks.cancel_scope.cancel()
