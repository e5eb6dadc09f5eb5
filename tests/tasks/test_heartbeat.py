"""The heartbeat over real HTTP: what it sends, what it receives, and how it fails."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from typing import TYPE_CHECKING

import anyio
import pytest
from polling import until

from rensei_daemon.core.health import StreamState
from rensei_daemon.core.heartbeat import Acks
from rensei_daemon.core.snapshot_schedule import SnapshotReason
from rensei_daemon.tasks.heartbeat import send_last_heartbeat
from rensei_daemon.tasks.reload import reload

if TYPE_CHECKING:
    from tasks.conftest import Home

HOST = "h1"
BEAT = "/api/workers/wkr_"
PROJECTS = '[projects]\nproj_a = { repositories = ["https://github.com/o/a"] }\n'
FULL = {"allowlist", "enabledProjectIds", "projectAdmissionMode"}


def _is_full(body: dict[str, object]) -> bool:
    return body.keys() >= FULL


def _has_beats(home: "Home", count: int) -> bool:
    return len(home.beats) >= count


async def test_the_first_beats(home: "Home") -> None:
    """The host registers at once, reports in full once, and then by hash alone."""
    home.write(PROJECTS)
    async with home.daemon() as daemon:
        await daemon.until(lambda: len(home.beats) >= 3)
        assert [_is_full(body) for body in home.beats[:3]] == [True, False, False]
        first = home.beats[0]
        assert first["allowlist"] == [
            {"id": "proj_a", "repository": "https://github.com/o/a"}
        ]
        assert first["enabledProjectIds"] == ["proj_a"]
        assert first["projectAdmissionMode"] == "enumerated"
        assert (first["activeCount"], first["status"], first["maxSessions"]) == (
            0,
            "idle",
            4,
        )
        assert {body["allowlistHash"] for body in home.beats} == {
            "3e84b12222b44638219bc0e733d4bd05e8c761810a716ae9296c44c927759a6b"
        }
        assert daemon.board.worker.worker_id == home.host.worker_id


@pytest.mark.parametrize("app_sees", [False, True])
async def test_a_report_that_was_not_answered_is_sent_again(
    home: "Home", app_sees: bool
) -> None:
    """If request or response is lost, the next heartbeat has the full report."""
    home.write(PROJECTS)
    home.platform.faults.add("POST", BEAT, status=503, app_sees=app_sees)
    async with home.daemon() as daemon:
        await daemon.until(lambda: len(home.beats) >= 3 + app_sees)
        full = [_is_full(body) for body in home.beats]
        assert full[: 2 + app_sees] == [True] * (1 + app_sees) + [False]


async def test_a_change_is_reported_in_full(home: "Home") -> None:
    """An edit by hand changes the hash, and the full report follows."""
    async with home.daemon() as daemon:
        await daemon.until(lambda: home.beats)
        assert "allowlistHash" not in home.beats[0]
        home.write(PROJECTS)
        await daemon.until(lambda: "allowlistHash" in home.beats[-1])
        assert _is_full(next(body for body in home.beats if "allowlistHash" in body))


async def test_a_new_worker_is_told_everything(home: "Home") -> None:
    """A host that the platform forgot registers again and reports in full."""
    home.write(PROJECTS)
    async with home.daemon() as daemon:
        await daemon.until(lambda: len(home.beats) >= 2)
        old = home.host.worker_id
        assert old is not None
        home.platform.rows.forget_worker(old)
        count = len(home.beats)
        await daemon.until(lambda: len(home.beats) >= count + 2)
        assert home.host.worker_id != old
        later = [
            _is_full(beat.body)
            for beat in home.platform.log.beats
            if beat.worker_id == home.host.worker_id
        ]
        assert True in later[:2]
        assert not daemon.conditions


async def test_an_expired_token_is_refreshed_and_the_beat_sent_again(home: "Home") -> None:
    """The worker stays the same, and no failure is reported."""
    async with home.daemon() as daemon:
        await daemon.until(lambda: home.beats)
        worker = home.host.worker_id
        home.platform.invalidate_tokens()
        count = len(home.beats)
        await daemon.until(lambda: len(home.beats) > count)
        assert home.host.worker_id == worker
        assert len(home.platform.rows.workers()) == 1
        assert daemon.board.heartbeat.consecutive_failures == 0


async def test_acks_are_sent_until_they_are_answered(home: "Home") -> None:
    """After lost responses and a restart, the platform has each outcome, unchanged."""
    async with home.daemon() as daemon:
        await daemon.until(lambda: home.beats)
        good = home.enqueue("project.enable", id="proj_a")
        bad = home.platform.rows.add_mutation(HOST, "project.enable", {})
        await daemon.until(lambda: home.mutation(bad).status == "delivered")
        lost = home.platform.faults.add("POST", BEAT, status=502, times=10**6)
        await daemon.until(lambda: any(good.id.encode() in body for body in lost.served))
    failure = {"id": bad.id, "error": "project.enable: requires id"}
    assert json.loads(lost.served[-1])["appliedMutations"] == [good.id]
    assert json.loads(lost.served[-1])["mutationFailures"] == [failure]
    lost.times = 0
    async with home.daemon() as daemon:
        await daemon.until(lambda: home.mutation(bad).status == "failed")
        await daemon.until(lambda: daemon.board.mutations.unacknowledged == 0)
        assert daemon.journal.unconfirmed() == Acks()
    told = {(ack.mutation_id, ack.error) for ack in home.platform.log.acks}
    assert told == {(good.id, None), (bad.id, "project.enable: requires id")}


async def test_a_beat_follows_an_apply_at_once(home: "Home") -> None:
    """The outcome does not wait for the interval, even if that is five minutes."""
    home.platform.configure(heartbeat_interval_ms=300_000)
    mutation = home.enqueue("project.enable", id="proj_a")
    async with home.daemon() as daemon:
        await daemon.until(lambda: len(home.beats) == 2)
        assert home.mutation(mutation).status == "applied"


@pytest.mark.parametrize(
    ("status", "body", "code", "failure"),
    [
        (403, None, "forbidden", "forbidden"),
        (400, None, None, "refused"),
        (500, None, None, "unavailable"),
        (429, None, None, "unavailable"),
        (200, "<html>log in to the Wi-Fi</html>", None, "nonsense"),
        (200, "{", None, "nonsense"),
        (200, '{"acknowledged": false}', None, "nonsense"),
    ],
)
async def test_a_beat_that_fails_is_sent_again(
    home: "Home", status: int, body: str | None, code: str | None, failure: str
) -> None:
    """After any response heartbeats continue, the error is shown, success clears it."""
    async with home.daemon() as daemon:
        await daemon.until(lambda: home.beats)
        home.platform.faults.add("POST", BEAT, status=status, body=body, times=3)
        await daemon.until(lambda: daemon.board.heartbeat.consecutive_failures >= 2)
        assert daemon.board.heartbeat.last_error != ""
        line = daemon.board.heartbeat
        assert line.last_failure == failure
        assert dict(daemon.heartbeat.counters.outcomes)[failure,] >= 2
        assert set(daemon.conditions) == ({code} if code else set())
        await daemon.until(lambda: daemon.board.heartbeat.consecutive_failures == 0)
        assert not daemon.board.heartbeat.last_error
        assert daemon.board.heartbeat.last_failure is None
        counters = daemon.heartbeat.counters
        assert counters.durations.count == dict(counters.outcomes)["ok",]
        assert not daemon.conditions


@pytest.mark.parametrize(("status", "headers"), [(401, {}), (307, {"location": "/login"})])
async def test_a_beat_that_is_refused_for_good_is_a_condition(
    home: "Home", status: int, headers: dict[str, str]
) -> None:
    """If a fresh token does not help: an error, until the token is accepted."""
    async with home.daemon() as daemon:
        await daemon.until(lambda: home.beats)
        fault = home.platform.faults.add(
            "POST", BEAT, status=status, headers=headers, times=10**6
        )
        await daemon.until(lambda: "unauthorized" in daemon.conditions)
        assert daemon.conditions["unauthorized"].severity == "error"
        assert len(home.platform.rows.workers()) == 1
        fault.times = 0
        await daemon.until(lambda: not daemon.conditions)


def _in_ten_seconds() -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=10), usegmt=True)


@pytest.mark.parametrize("asked", ["1", "a date", "soon", "-5", "9" * 30])
async def test_retry_after_is_obeyed(home: "Home", asked: str) -> None:
    """The next heartbeat waits as requested; a malformed value is ignored."""
    asked = _in_ten_seconds() if asked == "a date" else asked
    waits: list[tuple[float, float]] = []

    def draw(low: float, high: float) -> float:
        waits.append((low, high))
        return low

    async with home.daemon(draw=draw, without=("sessions", "mutations")) as daemon:
        await daemon.until(lambda: home.beats)
        waits.clear()
        home.platform.faults.add("POST", BEAT, status=429, headers={"retry-after": asked})
        await daemon.until(lambda: daemon.board.heartbeat.consecutive_failures == 1)
        await until(lambda: not {(1.0, 1.2), (0.5, 1.5)}.isdisjoint(waits))
        is_nonsense = asked in ("soon", "-5")
        assert ((0.5, 1.5) in waits, (1.0, 1.2) in waits) == (is_nonsense, not is_nonsense)


SESSION = """
[credentials]
project_id = "proj_a"
[[credentials.sessions]]
id = "build"
"""


def _long_retry(low: float, high: float) -> float:
    """Draw a wait after a failed heartbeat that no test waits for."""
    return 1000.0 if (low, high) == (0.5, 1.5) else low


@pytest.mark.slow
@pytest.mark.parametrize("which", ["snapshot", "stream"])
async def test_an_answer_to_a_session_has_a_failed_heartbeat_sent_again(
    home: "Home", which: str
) -> None:
    """The platform is back: by a snapshot alone or a stream alone, the host knows."""
    home.write(SESSION)
    home.platform.set_credential("github", "TOKEN", "one")
    home.platform.configure(heartbeat_interval_ms=60_000)
    home.platform.faults.add("POST", BEAT, status=503)
    faults = {
        "snapshot": ("POST", "/api/daemon/credentials/snapshot"),
        "stream": ("GET", "/api/daemon/credentials/rotate-stream"),
    }
    away = {
        name: home.platform.faults.add(*request, status=503, times=10**6)
        for name, request in faults.items()
    }
    async with home.daemon(draw=_long_retry) as daemon:
        await daemon.until(lambda: daemon.board.heartbeat.consecutive_failures == 1)
        await daemon.until(lambda: all(fault.served for fault in away.values()))
        assert not home.beats
        away[which].times = 0
        await daemon.until(lambda: home.beats)


async def test_an_answer_to_a_session_ends_no_wait_that_was_asked_for(
    home: "Home",
) -> None:
    """A platform that is overloaded said when heartbeats may return."""
    home.write(SESSION)
    home.platform.set_credential("github", "TOKEN", "one")
    home.platform.faults.add("POST", BEAT, status=503, headers={"retry-after": "1000"})
    async with home.daemon() as daemon:
        await daemon.until(lambda: daemon.board.heartbeat.consecutive_failures == 1)
        (rotation,) = daemon.sessions.rotations
        await daemon.until(lambda: daemon.session.stream is StreamState.LIVE)
        rotation.request_snapshot(SnapshotReason.ASKED)
        await rotation.snapshot_cycle.wait_next()
        home.platform.drop_streams()
        await daemon.until(lambda: daemon.session.stream_ended_at)
        await daemon.until(lambda: daemon.session.stream is StreamState.LIVE)
        assert not home.beats


async def test_the_last_project_is_reported_as_gone(home: "Home") -> None:
    """Disabled by a mutation, then removed by hand: the platform's list is empty."""
    home.write(PROJECTS)
    async with home.daemon() as daemon:
        await daemon.until(lambda: home.host.mirror.get("enabledProjectIds") == ["proj_a"])
        home.enqueue("project.disable", id="proj_a")
        await daemon.until(lambda: home.host.mirror["enabledProjectIds"] == [])
        home.enqueue("project.enable", id="proj_a")
        await daemon.until(lambda: home.host.mirror["enabledProjectIds"] == ["proj_a"])
        home.write()
        await daemon.until(lambda: home.host.mirror["enabledProjectIds"] == [])
        assert home.host.mirror["projectAdmissionMode"] == "enumerated"
        assert "allowlistHash" not in home.beats[-1]


async def test_a_host_that_serves_nothing_says_so_at_once(home: "Home") -> None:
    """A project removed while no daemon ran must leave the platform's list."""
    home.config.write_text(
        home.base.replace("[machine]\n", "[machine]\nmax_sessions = 0\n")
    )
    async with home.daemon() as daemon:
        await daemon.until(lambda: len(home.beats) >= 2)
        assert home.beats[0]["enabledProjectIds"] == []
        assert "enabledProjectIds" not in home.beats[1]
        assert [beat["maxSessions"] for beat in home.beats[:2]] == [0, 0]


@pytest.mark.parametrize("status", ["unauthorized", "under_review"])
async def test_an_objection_of_the_platform_is_a_condition(
    home: "Home", status: str
) -> None:
    """It shows the platform's status and recommendation, until the platform reports ok."""
    home.platform.set_host_status(HOST, status, recommendedAction="Ask for a new key.")
    async with home.daemon() as daemon:
        await daemon.until(lambda: "host.status" in daemon.conditions)
        condition = daemon.conditions["host.status"]
        assert condition.message == f"the platform says of this host: {status}"
        assert condition.hint == "Ask for a new key."
        assert "pool" not in home.config.read_text()
        home.platform.set_host_status(HOST, "ok")
        await daemon.until(lambda: not daemon.conditions)


async def test_a_host_that_shares_its_machine_id_is_told(home: "Home") -> None:
    """If new tokens are refused repeatedly there is a condition; heartbeats continue."""
    async with home.daemon() as daemon:
        for count in range(3):
            await daemon.until(partial(_has_beats, home, 1 + count))
            home.platform.invalidate_tokens()
        await daemon.until(lambda: "host.duplicate" in daemon.conditions)
        assert "same machine id" in daemon.conditions["host.duplicate"].message


async def test_an_answer_nobody_can_hold_is_a_condition(home: "Home") -> None:
    """A response over 16 MiB is a condition; the next heartbeat asks again."""
    async with home.daemon() as daemon:
        await daemon.until(lambda: home.beats)
        flood = '"' + "x" * (16 * 1024 * 1024) + '"'
        home.platform.faults.add("POST", BEAT, status=200, body=flood)
        await daemon.until(lambda: "oversized" in daemon.conditions)
        assert "cancel waiting mutations" in daemon.conditions["oversized"].hint
        await daemon.until(lambda: not daemon.conditions)


async def test_a_registration_that_is_refused_is_retried_soon(home: "Home") -> None:
    """Its backoff starts at a second, not at the interval; the hint says what to do."""
    home.platform.faults.add("POST", "/api/workers/register", status=400, times=2)
    home.platform.configure(heartbeat_interval_ms=300_000)
    async with home.daemon() as daemon:
        await daemon.until(lambda: daemon.board.heartbeat.consecutive_failures == 1)
        await daemon.until(lambda: home.beats)


async def test_the_farewell_says_draining(home: "Home") -> None:
    """The last heartbeat reports it; if that fails, the failure is only logged."""
    async with home.daemon() as daemon:
        await daemon.until(lambda: home.beats)
        home.platform.faults.add("POST", BEAT, status=500)
        await send_last_heartbeat(daemon.heartbeat)
        await send_last_heartbeat(daemon.heartbeat)
        assert home.beats[-1]["status"] == "draining"


async def test_a_pace_too_fast_for_anyone_is_held(home: "Home") -> None:
    """However often they are requested, heartbeats keep the shortest interval."""
    async with home.daemon() as daemon:
        await daemon.until(lambda: home.beats)
        started, count = anyio.current_time(), len(home.beats)
        while len(home.beats) < count + 6:
            daemon.wake_heartbeat.set()
            await anyio.sleep(0.001)  # passes time
        assert anyio.current_time() - started >= 5 * 0.05


async def test_the_platforms_word_on_the_pool_is_shown(home: "Home") -> None:
    """A draining pool is a condition with the platform's advice; ok clears it."""
    async with home.daemon() as daemon:
        home.platform.set_host_status(
            HOST,
            " Pool_Draining ",
            recommendedAction="Wait.",
            candidatePoolIds=["pool_b"],
        )
        await daemon.until(lambda: "pool.draining" in daemon.conditions)
        assert daemon.conditions["pool.draining"].hint == "Wait."
        home.platform.set_host_status(HOST, None)
        count = len(home.beats)
        await daemon.until(lambda: len(home.beats) >= count + 3)
        assert "pool.draining" in daemon.conditions
        home.platform.set_host_status(HOST, "OK")
        await daemon.until(lambda: not daemon.conditions)


async def test_the_pool_of_the_file_is_shown_without_the_platform(home: "Home") -> None:
    """From the start, and again when the file changes: it waits for no heartbeat."""
    pool = '[pool]\nid = "pool_{}"\nstatus = "deleted"\n'
    home.platform.faults.add("POST", "/api/workers/register", status=503, times=10**6)
    home.write(pool.format("a"))
    async with home.daemon() as daemon:
        await daemon.until(lambda: daemon.board.pool.id == "pool_a")
        assert "pool.deleted" in daemon.conditions
        home.write(pool.format("b"))
        await reload(daemon.configuration, daemon.board)
        assert daemon.board.pool.id == "pool_b"
        home.write()
        await reload(daemon.configuration, daemon.board)
        assert "pool.deleted" not in daemon.conditions
        assert home.beats == []
