"""A session's credentials while its stream swaps, garbles, hides or ends what it says."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from deadlines import HANG_SECONDS

from rensei_daemon.core.board import report
from rensei_daemon.core.conditions import Code
from rensei_daemon.core.snapshot_schedule import WHY, SnapshotIntervals, SnapshotReason

pytestmark = pytest.mark.slow

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
CASES = Path(__file__).parents[1] / "platform_api" / "cases"
ONLY = ("heartbeat", "mutations", "configuration")


@pytest.fixture
def home(home: "Home") -> "Home":
    """A host with one session, and a token to rotate."""
    home.write(SESSIONS)
    _set(home, "one")
    return home


def _set(home: "Home", value: str, name: str = "TOKEN") -> None:
    """Change a value without an event."""
    home.platform.set_credential("github", name, value)


def _send(home: "Home", *frames: bytes) -> None:
    """Say this over the stream."""
    home.platform.push(*frames)


def _update(value: str, rotated_at: datetime | None = None) -> bytes:
    payload: dict[str, Any] = {"delta": {"TOKEN": value}}
    if rotated_at is not None:
        payload["rotatedAt"] = rotated_at.isoformat()
    return f"event: UPDATE\ndata: {json.dumps(payload)}\n\n".encode()


def _taken(daemon: "Running") -> dict[str, int]:
    """Return how many good snapshots there were, by reason."""
    snapshots = dict(daemon.counters.snapshots)
    return {reason: n for (_, reason, how), n in snapshots.items() if how == "ok"}


async def _live(home: "Home", daemon: "Running") -> None:
    """Wait until the stream is live, and its own snapshot has been taken."""
    await daemon.until(
        lambda: (
            daemon.board.sessions
            and daemon.session.stream == "live"
            and home.env() == 'TOKEN="one"\n'
            and daemon.session.wanted_for is None
        )
    )


async def _delivered(home: "Home", daemon: "Running", value: str) -> None:
    await daemon.until(lambda: home.env() == f'TOKEN="{value}"\n')


async def test_swapped_updates_do_not_set_a_value_back(home: "Home") -> None:
    """A proxy swaps two: the newest stays, and a snapshot is requested."""
    newest, older = (CASES / "swapped_updates.sse").read_bytes().split(b"\n\n")[:2]
    async with home.daemon(without=ONLY) as daemon:
        await _live(home, daemon)
        now = datetime.now(UTC)
        late = (now - timedelta(seconds=30)).isoformat().encode()
        newest = newest.replace(b"2026-11-28T13:00:30Z", now.isoformat().encode())
        older = older.replace(b"2026-11-28T13:00:00Z", late)
        hold = home.platform.faults.hold("POST", SNAPSHOT)
        frames = (newest + b"\n\n", older + b"\n\n")
        _send(home, *(f.replace(b"GITHUB_TOKEN", b"TOKEN") for f in frames))
        await hold.until_ready()
        await _delivered(home, daemon, "newest")
        await daemon.until(lambda: daemon.session.wanted_for == WHY[SnapshotReason.ORDER])
        _set(home, "newest")
        hold.release()


async def test_an_update_held_back_past_a_snapshot_changes_nothing(home: "Home") -> None:
    """A proxy delays it until a newer value has arrived another way."""
    async with home.daemon(without=ONLY) as daemon:
        await _live(home, daemon)
        held_back = _update("older", datetime.now(UTC) - timedelta(seconds=30))
        _set(home, "newest")
        daemon.sessions.rotations[0].retry_now()
        await _delivered(home, daemon, "newest")
        _send(home, held_back)
        await daemon.until(lambda: _taken(daemon).get("order"))
        assert home.env() == 'TOKEN="newest"\n'


async def test_no_value_is_ever_repaired(home: "Home") -> None:
    """Bytes that are not UTF-8 request a snapshot; no worker sees U+FFFD."""
    async with home.daemon(without=ONLY) as daemon:
        await _live(home, daemon)
        _set(home, "two")
        _send(home, _update("passXword").replace(b"X", b"\xfd"))
        await _delivered(home, daemon, "two")
        assert daemon.session.generation == 2


async def test_keepalives_with_data_cost_no_snapshot(home: "Home") -> None:
    """An object of another type is no change, however often it arrives."""
    async with home.daemon(without=ONLY) as daemon:
        await _live(home, daemon)
        before = _taken(daemon)
        _send(home, *[b'data: {"type":"ping"}\n\n'] * 50, _update("two"))
        await _delivered(home, daemon, "two")
        assert _taken(daemon) == before


async def test_noise_costs_a_snapshot_now_and_then(home: "Home") -> None:
    """Fifty events without data: one snapshot at once, the next a second later."""
    async with home.daemon(without=ONLY) as daemon:
        await _live(home, daemon)
        _send(home, *[b"event: UPDATE\n\n"] * 50)
        await daemon.until(lambda: _taken(daemon).get("event"))
        _send(home, *[b"event: UPDATE\n\n"] * 50, _update("two"))
        await _delivered(home, daemon, "two")
        assert _taken(daemon)["event"] == 1
        await daemon.until(lambda: daemon.session.wanted_for == WHY[SnapshotReason.EVENT])


async def test_one_sync_amid_rotations_does_not_feed_itself(home: "Home") -> None:
    """Although each snapshot is outdated at once, only two more are taken."""
    async with home.daemon(without=ONLY) as daemon:
        await _live(home, daemon)
        before = sum(_taken(daemon).values())
        daemon.sessions.rotations[0].retry_now()
        for number in range(10):
            hold = home.platform.faults.hold("POST", SNAPSHOT)
            _set(home, f"v{number}")
            _send(home, _update(f"v{number}", datetime.now(UTC)))
            await _delivered(home, daemon, f"v{number}")
            with anyio.move_on_after(0.05):
                await hold.until_ready()
                _send(home, _update(f"w{number}", datetime.now(UTC)))
                await _delivered(home, daemon, f"w{number}")
            hold.release()
        assert sum(_taken(daemon).values()) - before <= 3


async def test_a_stream_that_delivers_nothing_is_silent(
    home: "Home", monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy holds its bytes back: polls continue until the first one arrives."""
    monkeypatch.setattr("rensei_platform.http.streams.HELLO", b"")
    async with home.daemon(
        without=ONLY, pace=SnapshotIntervals(poll_seconds=0.05)
    ) as daemon:
        await daemon.until(lambda: home.platform.streams)
        await daemon.until(lambda: daemon.session.stream == "silent")
        since = daemon.session.since
        for value in ("two", "three"):
            _set(home, value)
            await _delivered(home, daemon, value)
        assert (daemon.session.stream, daemon.session.since) == ("silent", since)
        _send(home, b":")
        await daemon.until(lambda: daemon.session.stream == "live")
        assert daemon.session.since > since
        await daemon.until(lambda: daemon.session.wanted_for is None)
        (rotation,) = daemon.sessions.rotations
        assert rotation._snapshots.schedule.wait_seconds(anyio.current_time()) > 1000


@pytest.mark.parametrize("mute_seconds", [0.0, 3600.0])
async def test_a_stream_that_held_a_change_back_is_silent_until_its_next_byte(
    home: "Home", monkeypatch: pytest.MonkeyPatch, mute_seconds: float
) -> None:
    """A proxy passed the beginning on, and collects the rest; one that speaks is live."""
    pace = SnapshotIntervals(poll_seconds=0.05)
    async with home.daemon(without=ONLY, pace=pace) as daemon:
        await _live(home, daemon)
        monkeypatch.setattr("rensei_daemon.tasks.streams.MUTE_SECONDS", mute_seconds)
        (rotation,) = daemon.sessions.rotations
        _set(home, "two")
        rotation.request_snapshot(SnapshotReason.ASKED)
        await _delivered(home, daemon, "two")
        if mute_seconds:
            assert daemon.session.stream == "live"
            return
        await daemon.until(lambda: daemon.session.stream == "silent")
        _set(home, "three")
        await _delivered(home, daemon, "three")
        _send(home, b":")
        await daemon.until(lambda: daemon.session.stream == "live")
        assert _taken(daemon)["poll"] > 0


async def test_a_silent_stream_that_ends_was_never_live(
    home: "Home", monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its age continues: a proxy that limits held-back bytes is shown too."""
    monkeypatch.setattr("rensei_platform.http.streams.HELLO", b"")
    async with home.daemon(without=ONLY) as daemon:
        await daemon.until(lambda: home.platform.streams)
        await daemon.until(lambda: daemon.session.stream == "silent")
        since = daemon.session.since
        home.platform.drop_streams()
        await daemon.until(lambda: daemon.session.stream_ended_at)
        assert daemon.session.since == since
        assert daemon.session.stream in ("connecting", "silent")


def _patient(low: float, high: float) -> float:
    """Draw the soonest of a range, and the longest of a backoff."""
    return low or high


async def test_a_loss_brings_a_snapshot_at_once(home: "Home") -> None:
    """Even if no stream can be opened and the next poll is far off."""
    async with home.daemon(without=ONLY, draw=_patient) as daemon:
        await _live(home, daemon)
        home.platform.faults.add("GET", STREAM, status=503, times=10**6)
        _set(home, "two")
        home.platform.drop_streams()
        with anyio.fail_after(HANG_SECONDS):
            await _delivered(home, daemon, "two")
        assert _taken(daemon)["loss"] == 1


def _far_off(low: float, high: float) -> float:
    """Draw the soonest of a range, and no reconnect that a test waits for."""
    return low or 60.0


async def test_what_was_asked_of_a_live_stream_is_over_when_it_ends(home: "Home") -> None:
    """A sync while it was open does not skip the wait for the next one."""
    async with home.daemon(without=ONLY, draw=_far_off) as daemon:
        await _live(home, daemon)
        daemon.sessions.rotations[0].retry_now()
        await daemon.until(lambda: _taken(daemon).get("asked"))
        _set(home, "two")
        home.platform.drop_streams()
        await _delivered(home, daemon, "two")
        assert _taken(daemon)["loss"] == 1
        assert not home.platform.streams
        daemon.sessions.rotations[0].retry_now()
        await daemon.until(lambda: daemon.session.stream == "live")


async def test_streams_that_keep_ending_lose_no_rotation(home: "Home") -> None:
    """What changed in every gap arrives, and status shows the cause."""
    async with home.daemon(without=ONLY) as daemon:
        await _live(home, daemon)
        for number in range(6):
            assert "stream.flapping" not in daemon.conditions
            _set(home, f"v{number}")
            home.platform.drop_streams()
            await _delivered(home, daemon, f"v{number}")
            await daemon.until(lambda: daemon.session.stream == "live")
        assert daemon.conditions["stream.flapping"].severity == "warning"
        assert daemon.conditions.keys() == {"stream.flapping"}


async def test_what_was_heard_of_and_not_had_is_told_of(home: "Home") -> None:
    """An unreadable event and failing snapshots: a warning that says why."""
    async with home.daemon(without=ONLY) as daemon:
        await _live(home, daemon)
        fault = home.platform.faults.add("POST", SNAPSHOT, times=10**6)
        _send(home, b"event: UPDATE\ndata: {\n\n")
        await daemon.until(lambda: daemon.session.wanted_for)
        since = daemon.session.wanted_since
        await daemon.until(lambda: len(fault.served) >= 2)
        assert daemon.session.wanted_since == since
        later = datetime.now(UTC) + timedelta(seconds=61)
        codes = {c.code: c for c in report(daemon.board, later).conditions}
        assert WHY[SnapshotReason.EVENT] in codes[Code.SESSION_UNCONFIRMED].message
        fault.times = 0
        await daemon.until(lambda: daemon.session.wanted_for is None)


async def test_updates_do_not_make_a_session_fresh(home: "Home") -> None:
    """An event vouches for its own names; only a snapshot makes a session fresh."""
    async with home.daemon(without=ONLY) as daemon:
        await _live(home, daemon)
        refreshed_at = daemon.session.refreshed_at
        _send(home, b'event: UPDATE\ndata: {"delta": {"OTHER": "x"}}\n\n')
        await daemon.until(lambda: daemon.session.generation == 2)
        assert daemon.session.refreshed_at == refreshed_at
        daemon.sessions.rotations[0].retry_now()
        await daemon.until(lambda: daemon.session.refreshed_at > refreshed_at)


async def test_a_set_that_was_emptied_is_applied_and_told_of(home: "Home") -> None:
    """Until the next snapshot confirms it or has the values again."""
    async with home.daemon(without=ONLY) as daemon:
        await _live(home, daemon)
        home.platform.faults.add("POST", SNAPSHOT, status=200, body={"env": {}})
        daemon.sessions.rotations[0].retry_now()
        await daemon.until(lambda: "session.unconfirmed" in daemon.conditions)
        assert daemon.session.names == ()
        assert "took 1 of 1 names" in daemon.conditions["session.unconfirmed"].message
        await daemon.until(lambda: home.env() == "")
        daemon.sessions.rotations[0].retry_now()
        await _live(home, daemon)
        assert not daemon.conditions


async def test_a_set_that_is_too_large_is_refused_whole(home: "Home") -> None:
    """The old set stays, with a condition until the cause is gone."""
    env = {f"NAME_{number}": "x" for number in range(5001)}
    async with home.daemon(without=ONLY) as daemon:
        await _live(home, daemon)
        fault = home.platform.faults.add(
            "POST", SNAPSHOT, status=200, body={"env": env}, times=10**6
        )
        daemon.sessions.rotations[0].retry_now()
        await daemon.until(lambda: "session.too_large" in daemon.conditions)
        assert "5001 names" in daemon.conditions["session.too_large"].message
        assert home.env() == 'TOKEN="one"\n'
        fault.times = 0
        await daemon.until(lambda: not daemon.conditions)


async def test_changed_at_forgets_what_is_gone(home: "Home") -> None:
    """It has exactly the names of the newest generation."""
    home.platform.set_credential("extra", "EXTRA", "x")
    async with home.daemon(without=ONLY) as daemon:
        await daemon.until(lambda: home.env() == 'EXTRA="x"\nTOKEN="one"\n')
        home.platform.unset_credentials("extra")
        (rotation,) = daemon.sessions.rotations
        rotation.retry_now()
        await _delivered(home, daemon, "one")
        assert rotation.changes.at.keys() == {"TOKEN"}


@pytest.mark.parametrize("status", [204, 404])
async def test_where_there_is_no_stream_polls_are_rare(home: "Home", status: int) -> None:
    """The platform has no stream: a poll every minute would gain nothing."""
    body = b"" if status == 204 else None
    home.platform.faults.add("GET", STREAM, status=status, body=body, times=10**6)
    pace = SnapshotIntervals(poll_seconds=0.05, slow_poll_seconds=1000)
    async with home.daemon(without=ONLY, pace=pace) as daemon:
        await daemon.until(lambda: daemon.sessions.rotations)
        (rotation,) = daemon.sessions.rotations
        schedule = rotation._snapshots.schedule
        await daemon.until(lambda: schedule.wait_seconds(anyio.current_time()) > 500)


async def test_a_wait_that_the_platform_asked_for_is_kept(home: "Home") -> None:
    """The stream waits as requested, even if snapshots succeed meanwhile."""
    headers = {"retry-after": "300"}
    stream = home.platform.faults.add("GET", STREAM, headers=headers, times=10**6)
    home.platform.faults.add("POST", SNAPSHOT)
    async with home.daemon(without=ONLY) as daemon:
        await daemon.until(lambda: _taken(daemon).get("retry"))
        (rotation,) = daemon.sessions.rotations
        for reason in (SnapshotReason.EVENT, SnapshotReason.ASKED):
            rotation.request_snapshot(reason)
            with anyio.fail_after(HANG_SECONDS):
                await rotation.snapshot_cycle.wait_next()
        assert len(stream.served) == 1


async def test_a_stream_that_is_refused_is_asked_for_ever_less(home: "Home") -> None:
    """Up to five minutes, since the platform answers and refuses."""
    home.platform.faults.add("GET", STREAM, status=401, times=10**6)
    longest: list[float] = []

    def at_once(low: float, high: float) -> float:
        longest.append(high)
        return low

    async with home.daemon(without=ONLY, draw=at_once) as daemon:
        await daemon.until(lambda: max(longest, default=0) == 300)
        assert 256 in longest


async def test_a_stream_that_nothing_came_over_was_not_good(
    home: "Home", monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waits grow although each stream was open for longer than the wait."""
    monkeypatch.setattr("rensei_platform.http.streams.HELLO", b"")
    longest: list[float] = []

    def at_once(low: float, high: float) -> float:
        if low == 0:
            longest.append(high)
        return low

    async with home.daemon(without=ONLY, draw=at_once) as daemon:
        for count in range(3):
            await daemon.until(lambda: daemon.board.sessions and home.platform.streams)
            await daemon.until(lambda: daemon.session.stream == "silent")
            home.platform.drop_streams()
            await daemon.until(lambda: len(longest) > count)  # noqa: B023 - awaited here
        assert longest[:3] == [1, 2, 4]


async def test_a_stream_follows_the_first_snapshot_that_comes_again(home: "Home") -> None:
    """It is opened at once, because the platform answers again."""
    stream = home.platform.faults.add("GET", STREAM)
    home.platform.faults.add("POST", SNAPSHOT)
    async with home.daemon(without=ONLY, draw=_far_off) as daemon:
        await daemon.until(lambda: stream.served and daemon.session.snapshot_failure)
        daemon.sessions.rotations[0].request_snapshot(SnapshotReason.EVENT)
        await _live(home, daemon)


async def test_who_must_know_the_values_is_told_those_in_force(home: "Home") -> None:
    """At each change, and with nothing when the session ends."""
    told: list[list[str]] = []
    async with home.daemon(without=ONLY) as daemon:
        await _live(home, daemon)
        (rotation,) = daemon.sessions.rotations
        rotation._register_secrets = lambda values: told.append(list(values))
        _send(home, _update("two"))
        await _delivered(home, daemon, "two")
        await rotation.withdraw()
    assert told == [["two"], []]
