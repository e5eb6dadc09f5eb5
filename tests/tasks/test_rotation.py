"""A session's credentials over real HTTP: fresh, whole, and never set back."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import pytest
from deadlines import HANG_SECONDS
from polling import until

from rensei_daemon.core.session import Session
from rensei_daemon.core.snapshot_schedule import SnapshotIntervals, SnapshotReason
from rensei_daemon.platform_api.client import PlatformClient
from rensei_daemon.platform_api.wire import Snapshot

if TYPE_CHECKING:
    from tasks.conftest import Home, Running

ORG = "org_acme"
SNAPSHOT = "/api/daemon/credentials/snapshot"
STREAM = "/api/daemon/credentials/rotate-stream"
SESSIONS = """
[credentials]
project_id = "proj_a"
[[credentials.sessions]]
id = "build"
env_file = "build.env"
"""
FAST = SnapshotIntervals(poll_seconds=0.05, slow_poll_seconds=0.2, long_down_seconds=60)
ONLY = ("heartbeat", "mutations", "configuration")


@pytest.fixture
def home(home: "Home") -> "Home":
    """A host with one session, and a token to rotate."""
    home.write(SESSIONS)
    home.platform.set_credential("github", "TOKEN", "one")
    return home


def _set(home: "Home", value: str, name: str = "TOKEN") -> None:
    """Change a value without an event."""
    home.platform.set_credential("github", name, value)


def _rotate(home: "Home", value: str) -> None:
    """Change a value and send an event."""
    home.platform.rotate("github", TOKEN=value)


def _update(delta: dict[str, Any]) -> bytes:
    update = json.dumps({"type": "UPDATE", "delta": delta})
    return f"event: UPDATE\ndata: {update}\n\n".encode()


def _snapshots(home: "Home") -> int:
    return home.platform.log.counts["POST", SNAPSHOT]


def _outcomes(daemon: "Running") -> int:
    """Return how many snapshots the daemon has finished with."""
    return sum(count for _, count in daemon.counters.snapshots)


async def _live(home: "Home", daemon: "Running", value: str = "one") -> None:
    """Wait until the stream is live, and a snapshot since then has this value."""
    await daemon.until(
        lambda: (
            daemon.board.sessions
            and daemon.session.stream == "live"
            and home.env() == f'TOKEN="{value}"\n'
            and daemon.session.generation > 0
            and daemon.session.wanted_for is None
        )
    )


async def _delivered(home: "Home", daemon: "Running", value: str) -> None:
    await daemon.until(lambda: home.env() == f'TOKEN="{value}"\n')


async def test_a_rotation_reaches_the_file_at_once(home: "Home") -> None:
    """The event alone delivers the new value, and the file keeps its mode."""
    async with home.daemon(without=ONLY) as daemon:
        await _live(home, daemon)
        generation = daemon.session.generation
        _rotate(home, "two")
        await _delivered(home, daemon, "two")
        await daemon.until(lambda: daemon.session.consumers[0].generation == generation + 1)
        assert (home.runtime / "build.env").stat().st_mode & 0o777 == 0o440
        assert daemon.session.names == ("TOKEN",)
        taken = daemon.counters.durations["env_file"]
        assert taken.count == dict(daemon.counters.deliveries)["build", "env_file", "ok"]
        assert 0 < taken.total_seconds < 5


async def test_what_hurries_a_rotation_to_every_session_runs(home: "Home") -> None:
    """Without it streams and readers are served too, one by one."""
    async with home.daemon(without=ONLY) as daemon:
        await _live(home, daemon)
        await daemon.until(lambda: len(daemon.http.stream_sockets._waits) == 1)
        sockets = daemon.resources.session_factory.credential_socket
        assert sockets.bursts._is_running


async def test_a_snapshot_follows_every_connect(home: "Home") -> None:
    """What changed while the stream was closed arrives when it is open again."""
    async with home.daemon(without=ONLY) as daemon:
        await _live(home, daemon)
        for value in ("two", "three"):
            _set(home, value)
            home.platform.drop_streams()
            await _live(home, daemon, value)


UNUSABLE = (
    b"event: UPDATE\ndata: {\n\n",
    b"event: UPDATE\ndata: {}\n\n",
    b'event: UPDATE\ndata: {"delta": {"TOKEN": 1}}\n\n',
    b"event: UPDATE\ndata: [1]\n\n",
    b"event: UPDATE\ndata:\n\n",
    b"data: what\n\n",
    b'event: UPDATE\ndata: {"delta": null, "delta": "x"}\n\n',
    b"event: UPDATE\ndata: " + b"[" * 10_000 + b"\n\n",
)


@pytest.mark.slow
async def test_an_unusable_event_asks_for_a_snapshot(home: "Home") -> None:
    """The values in force stay until the snapshot arrives."""
    async with home.daemon(without=ONLY) as daemon:
        await _live(home, daemon)
        for number, frame in enumerate(UNUSABLE):
            _set(home, f"value {number}")
            home.platform.push(frame)
            await _live(home, daemon, f"value {number}")


async def test_an_event_of_another_name_means_nothing(home: "Home") -> None:
    """No snapshot, no change, and the stream continues."""
    async with home.daemon(without=ONLY) as daemon:
        await _live(home, daemon)
        count = _snapshots(home)
        home.platform.push(b'event: GOSSIP\ndata: {"delta": {"TOKEN": "no"}}\n\n')
        _rotate(home, "two")
        await _delivered(home, daemon, "two")
        assert _snapshots(home) == count


async def test_an_event_that_comes_twice_counts_once(home: "Home") -> None:
    """The second one makes no generation and is not delivered."""
    async with home.daemon(without=ONLY) as daemon:
        await _live(home, daemon)
        _rotate(home, "two")
        await _delivered(home, daemon, "two")
        await daemon.until(lambda: daemon.session.consumers[0].generation == 2)
        _rotate(home, "two")
        _rotate(home, "three")
        await _delivered(home, daemon, "three")
        await daemon.until(lambda: daemon.session.consumers[0].generation == 3)
        assert dict(daemon.counters.deliveries) == {
            ("build", "env_file", "ok"): 3,
            ("build", "socket", "ok"): 3,
        }


async def test_an_event_that_overtakes_a_snapshot_stands(home: "Home") -> None:
    """An older snapshot does not undo it, and another snapshot follows."""
    async with home.daemon(without=ONLY) as daemon:
        await _live(home, daemon)
        hold = home.platform.faults.hold("POST", SNAPSHOT)
        (rotation,) = daemon.sessions.rotations
        rotation.request_snapshot(SnapshotReason.EVENT)
        await hold.until_ready()
        count, generation = _outcomes(daemon), daemon.session.generation
        _rotate(home, "two")
        await _delivered(home, daemon, "two")
        await daemon.until(lambda: daemon.session.generation == generation + 1)
        hold.release()
        await until(lambda: _outcomes(daemon) >= count + 2)
        assert home.env() == 'TOKEN="two"\n'
        assert daemon.session.generation == generation + 1


async def test_an_event_before_the_first_snapshot_is_not_lost(home: "Home") -> None:
    """A rotation during the first snapshot: the newer value wins."""
    hold = home.platform.faults.hold("POST", SNAPSHOT)
    async with home.daemon(without=ONLY) as daemon:
        await hold.until_ready()
        await daemon.until(lambda: home.platform.streams)
        await daemon.until(lambda: daemon.session.stream == "live")
        _rotate(home, "two")
        hold.release()
        await _delivered(home, daemon, "two")


def _far_off(low: float, high: float) -> float:
    """Draw retries that no test waits for."""
    return 60.0 if low == 0 else low


async def test_an_event_brings_the_first_values_that_failed_to_come(home: "Home") -> None:
    """After two failed snapshots an event requests one at once."""
    fault = home.platform.faults.add("POST", SNAPSHOT, status=503, times=2)
    async with home.daemon(without=ONLY, draw=_far_off) as daemon:
        await daemon.until(lambda: fault.times == 0 and home.platform.streams)
        await daemon.until(lambda: len(fault.served) == 2)
        await until(lambda: daemon.sessions.rotations[0].snapshot_error is not None)
        _rotate(home, "two")
        await _delivered(home, daemon, "two")


class HastyClient(PlatformClient):
    """Every snapshot is to be renewed at once."""

    async def snapshot(self, session: Session) -> Snapshot:
        """Take one."""
        return replace(await super().snapshot(session), refresh_in_seconds=0.05)


async def test_a_snapshot_is_renewed_in_time(home: "Home") -> None:
    """A change without an event is found when the last snapshot is due, stream or not."""
    async with home.daemon(without=ONLY, client_type=HastyClient) as daemon:
        await _live(home, daemon)
        for value in ("two", "three"):
            _set(home, value)
            await _delivered(home, daemon, value)
        assert daemon.session.stream == "live"
        assert dict(daemon.counters.snapshots)["build", "refresh", "ok"] >= 2


async def test_the_board_says_until_when_data_are_good(home: "Home") -> None:
    """By this host's clock, from the platform's lifetime."""
    until = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    body = {"env": {"TOKEN": "one"}, "refreshUntil": until}
    home.platform.faults.add("POST", SNAPSHOT, status=200, body=body, times=10**6)
    async with home.daemon(without=ONLY) as daemon:
        await _live(home, daemon)
        seconds = (
            daemon.session.refresh_until - daemon.session.refreshed_at
        ).total_seconds()
        assert seconds == pytest.approx(3600, abs=3)


async def test_a_dead_stream_is_made_up_for_by_polling(home: "Home") -> None:
    """Rotations arrive later, and the stream is retried."""
    dead = home.platform.faults.add("GET", STREAM, status=503, times=10**6)
    async with home.daemon(without=ONLY, pace=FAST, draw=max) as daemon:
        for value in ("one", "two", "three"):
            _set(home, value)
            await _delivered(home, daemon, value)
        assert daemon.session.stream == "connecting"
        assert daemon.session.stream_failure == "unavailable"
        dead.times = 0
        await _live(home, daemon, "three")
        # It is counted after all is told.
        await until(lambda: ("build", "connect", "ok") in dict(daemon.counters.snapshots))
    snapshots = dict(daemon.counters.snapshots)
    assert snapshots["build", "start", "ok"] == 1
    assert snapshots["build", "poll", "ok"] >= 2
    assert dict(daemon.counters.streams).keys() == {("build", "unavailable")}


@pytest.mark.parametrize("status", [204, 404])
async def test_a_platform_without_a_stream_is_polled_slowly(
    home: "Home", status: int
) -> None:
    """Nothing is deleted, no alarm is raised at once, and values still arrive."""
    body = b"" if status == 204 else None
    home.platform.faults.add("GET", STREAM, status=status, body=body, times=10**6)
    async with home.daemon(without=ONLY, pace=FAST) as daemon:
        for value in ("one", "two"):
            _set(home, value)
            await _delivered(home, daemon, value)
        assert not daemon.conditions


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (503, {}, None),
        (429, {"retry-after": "0"}, None),
        (200, {}, "<html>Wi-Fi</html>"),
        (200, {}, '{"env": 1}'),
        (200, {}, "{"),
        (401, {}, None),
        (403, {}, None),
        (404, {}, None),
        (307, {"location": "/login"}, None),
    ],
)
async def test_a_failed_snapshot_deletes_nothing(
    home: "Home", status: int, headers: dict[str, str], body: str | None
) -> None:
    """Values stay, the retry follows by itself, and success clears the error."""
    async with home.daemon(without=ONLY, pace=FAST) as daemon:
        await _live(home, daemon)
        _set(home, "two")
        fault = home.platform.faults.add(
            "POST", SNAPSHOT, status=status, headers=headers, body=body
        )
        (rotation,) = daemon.sessions.rotations
        rotation.request_snapshot(SnapshotReason.EVENT)
        await daemon.until(lambda: fault.served)
        assert home.env() == 'TOKEN="one"\n'
        await _delivered(home, daemon, "two")
        assert not daemon.conditions


LEAST_WAIT_SECONDS = 0.45
"""A failed snapshot waits for half a second at least, whatever is drawn."""


def _twentieth(low: float, high: float) -> float:
    """Draw the longest wait, on a clock that is twenty times as fast."""
    return high / 20


async def test_a_platform_that_is_down_is_not_hammered(home: "Home") -> None:
    """Without any response, retries become rarer, and no loop spins."""
    down = home.platform.faults.add("POST", SNAPSHOT, status=503, times=10**6)
    home.platform.faults.add("GET", STREAM, status=503, times=10**6)
    began = anyio.current_time()
    async with home.daemon(without=ONLY, draw=_twentieth) as daemon:
        await daemon.until(lambda: len(down.served) == 3)
    assert anyio.current_time() - began >= 2 * LEAST_WAIT_SECONDS


async def test_a_poll_that_fails_is_not_hammered(home: "Home") -> None:
    """Nor if a poll was due of a stream that was once open."""
    async with home.daemon(without=ONLY, pace=FAST, draw=_twentieth) as daemon:
        await _live(home, daemon)
        home.platform.faults.add("GET", STREAM, status=503, times=10**6)
        down = home.platform.faults.add("POST", SNAPSHOT, status=503, times=10**6)
        began = anyio.current_time()
        home.platform.drop_streams()
        await daemon.until(lambda: len(down.served) == 3)
    assert anyio.current_time() - began >= 2 * LEAST_WAIT_SECONDS


async def test_a_key_that_was_replaced_is_read_again(home: "Home") -> None:
    """After a refusal the file is read again, and snapshots and stream continue."""
    async with home.daemon(without=ONLY) as daemon:
        await _live(home, daemon)
        home.write_key(home.platform.add_key("member"))
        home.platform.revoke_key(home.key)
        _set(home, "two")
        home.platform.drop_streams()
        await _live(home, daemon, "two")
        assert not daemon.conditions


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refusal_has_the_key_read_again_at_once(home: "Home", status: int) -> None:
    """With another key in the file the request is repeated without a wait."""
    async with home.daemon(without=ONLY, draw=_far_off) as daemon:
        await _live(home, daemon)
        home.write_key(home.platform.add_key("member"))
        _set(home, "two")
        home.platform.faults.add("POST", SNAPSHOT, status=status)
        daemon.sessions.rotations[0].request_snapshot(SnapshotReason.EVENT)
        await _delivered(home, daemon, "two")
        assert not daemon.conditions


def _a_tenth(low: float, high: float) -> float:
    return low + (high - low) / 10


async def test_a_key_that_is_refused_for_good_is_a_condition(home: "Home") -> None:
    """An error; the values stay; a new key in the file clears it."""
    # Without any pause the stream alone would be refused so often that the platform has
    # it wait, and the snapshot with it.
    async with home.daemon(without=ONLY, pace=FAST, draw=_a_tenth) as daemon:
        await _live(home, daemon)
        home.platform.revoke_key(home.key)
        home.platform.drop_streams()
        await daemon.until(lambda: "unauthorized" in daemon.conditions)
        assert daemon.conditions["unauthorized"].severity == "error"
        assert "rensei-daemon reload" in daemon.conditions["unauthorized"].hint
        await daemon.until(lambda: daemon.session.stream_failure == "unauthorized")
        await daemon.until(lambda: daemon.session.snapshot_failure == "unauthorized")
        assert home.env() == 'TOKEN="one"\n'
        home.write_key(home.platform.add_key("member"))
        await daemon.until(lambda: not daemon.conditions)
        await daemon.until(lambda: daemon.session.stream == "live")
        assert daemon.session.stream_failure is daemon.session.snapshot_failure is None


class LargeSnapshots(PlatformClient):
    """Answers every snapshot with many values."""

    async def snapshot(self, session: Session) -> Snapshot:
        """Return the platform's snapshot with other values."""
        env = {f"NAME_{n}": f"the value of {n}" for n in range(2000)}
        return replace(await super().snapshot(session), env=env)


async def test_a_large_snapshot_does_not_hold_the_loop(home: "Home") -> None:
    """Its values are registered for redaction a few at a time, while other tasks run."""
    async with home.daemon(client_type=LargeSnapshots) as daemon:
        scrub = daemon.resources.session_factory.scrub
        counts = [0]
        with anyio.fail_after(HANG_SECONDS):
            while counts[-1] < 2000:
                counts.append(int(re.sub(r"\D", "", repr(scrub))))
                await anyio.lowlevel.checkpoint()
    assert max(after - before for before, after in pairwise(counts)) <= 251  # and a token


async def test_names_that_would_harm_are_dropped_and_shown(home: "Home") -> None:
    """From snapshots and events alike."""
    _set(home, "evil", name="LD_PRELOAD")
    async with home.daemon(without=ONLY) as daemon:
        await _live(home, daemon)
        assert daemon.session.dropped_names == ("LD_PRELOAD",)
        home.platform.push(_update({"PATH": "/evil", "TOKEN": "two"}))
        await _delivered(home, daemon, "two")
        await daemon.until(lambda: daemon.session.dropped_names == ("LD_PRELOAD", "PATH"))
        assert daemon.session.names == ("TOKEN",)


async def test_a_name_that_is_gone_goes(home: "Home") -> None:
    """A name that a snapshot lacks is not delivered any more."""
    home.platform.set_credential("extra", "EXTRA", "x")
    async with home.daemon(without=ONLY) as daemon:
        await daemon.until(lambda: home.env() == 'EXTRA="x"\nTOKEN="one"\n')
        home.platform.unset_credentials("extra")
        daemon.sessions.rotations[0].request_snapshot(SnapshotReason.EVENT)
        await _delivered(home, daemon, "one")


async def test_a_delivery_that_fails_is_a_condition_and_is_tried_again(
    home: "Home",
) -> None:
    """The newest generation is delivered when that is possible, without a request."""
    blocker = home.runtime / "build.env"
    blocker.mkdir()
    (blocker / "in-the-way").touch()
    async with home.daemon(without=ONLY) as daemon:
        await daemon.until(lambda: "delivery.failed" in daemon.conditions)
        assert daemon.conditions["delivery.failed"].message.startswith("session build: ")
        await daemon.until(
            lambda: daemon.session.stream == "live" and daemon.session.wanted_for is None
        )
        _rotate(home, "two")
        await daemon.until(lambda: daemon.session.generation == 2)
        count = _snapshots(home)
        (blocker / "in-the-way").unlink()
        blocker.rmdir()
        await _delivered(home, daemon, "two")
        await daemon.until(lambda: not daemon.conditions)
        assert _snapshots(home) == count


async def test_a_burst_ends_with_the_newest(home: "Home") -> None:
    """After 200 rotations in a row the file has the last one."""
    async with home.daemon(without=ONLY) as daemon:
        await _live(home, daemon)
        home.platform.push(*(_update({"TOKEN": f"v{n}"}) for n in range(199)))
        _rotate(home, "v199")
        await _delivered(home, daemon, "v199")
        await daemon.until(lambda: daemon.session.consumers[0].generation is not None)


async def test_no_value_is_on_the_board_or_in_a_log(
    home: "Home", capsys: pytest.CaptureFixture[str]
) -> None:
    """They show names and generations; only the file has values."""
    import structlog

    lines: list[Any] = []

    def keep(_: Any, __: str, event: Any) -> Any:
        lines.append(dict(event))
        raise structlog.DropEvent

    structlog.configure(processors=[keep])
    _set(home, "canary-7f3a")
    async with home.daemon(without=ONLY) as daemon:
        await _live(home, daemon, "canary-7f3a")
        _rotate(home, "canary-9c21")
        await _delivered(home, daemon, "canary-9c21")
        shown = repr(vars(daemon.board)) + repr(lines) + repr(daemon.sessions.rotations)
    assert "canary" not in shown
    assert "credentials.changed" in shown


@pytest.mark.parametrize("delta", [{"A": "x", "TOKEN": None}, {"A": "x", "TOKEN": "two\0"}])
async def test_an_event_that_is_half_usable_has_a_snapshot_taken(
    home: "Home", delta: dict[str, str | None]
) -> None:
    """A value that cannot be delivered must not leave the old one unnoticed."""
    async with home.daemon(without=ONLY) as daemon:
        await _live(home, daemon)
        _set(home, "two")
        home.platform.push(_update(delta))
        await _delivered(home, daemon, "two")
