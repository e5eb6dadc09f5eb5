"""What the log says while something fails again and again, and once it works."""

from collections.abc import Callable, Iterator, MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from boards import empty_board
from deadlines import HANG_SECONDS
from structlog.testing import capture_logs

from rensei_daemon.conditions.sessions import SessionFailures
from rensei_daemon.core.conditions import Code
from rensei_daemon.core.liveness import Deadlines
from rensei_daemon.errors import (
    RefusedError,
    SettingsError,
    TransientError,
    UnauthorizedError,
)
from rensei_daemon.systemd import Notifier
from rensei_daemon.tasks.reload import reload
from rensei_daemon.tasks.status_reporting import (
    feed_watchdog,
    keep_reporting,
    status_failures,
    write_status,
)

if TYPE_CHECKING:
    from tasks.conftest import Home

Events = list[MutableMapping[str, Any]]

BEAT = "/api/workers/wkr_"
PROJECT = "\n[projects]\nproj_a = { repositories = [], enabled = false }\n"


@pytest.fixture
def events() -> Iterator[Events]:
    """Every event, whatever its level."""
    with capture_logs() as captured:
        yield captured


def told(events: Events, *names: str) -> list[tuple[str, str, Any]]:
    """Return (level, event, count) of these events, repetitions at debug left out."""
    return [
        (event["log_level"], event["event"], event["count"])
        for event in events
        if event["event"] in names and event["log_level"] != "debug"
    ]


async def eventually(condition: Callable[[], object]) -> None:
    """Wait for a condition that no board reports."""
    with anyio.fail_after(HANG_SECONDS):
        while not condition():
            await anyio.wait_all_tasks_blocked()


async def test_a_refusal_that_became_another_is_told_no_more() -> None:
    """After another response the alarm of the first refusal is cleared."""
    board = empty_board()
    refusals = SessionFailures("build", board, calm_seconds=60)

    refusals.stream_ended(UnauthorizedError("401"), seconds=None)
    assert [code for code, _ in board.alarms] == ["unauthorized"]
    refusals.stream_ended(TransientError("503"), seconds=None)
    assert [code for code, _ in board.alarms] == ["unauthorized"]
    gone = RefusedError("404", status=404, detail="")
    refusals.stream_ended(gone, seconds=None)
    assert not board.alarms


async def test_beats_that_fail(home: "Home", events: Events) -> None:
    """Twelve failures are two warnings, one recovery, and twelve debug lines in all."""
    async with home.daemon(without=("sessions", "mutations")) as daemon:
        await daemon.until(lambda: home.beats)
        home.platform.faults.add("POST", BEAT, status=503, times=12)
        await daemon.until(lambda: daemon.board.heartbeat.consecutive_failures == 12)
        line = daemon.board.heartbeat
        await daemon.until(lambda: daemon.board.heartbeat.last_ok_at != line.last_ok_at)
    assert told(events, "heartbeat.failed", "heartbeat.recovered") == [
        ("warning", "heartbeat.failed", 1),
        ("warning", "heartbeat.failed", 10),
        ("info", "heartbeat.recovered", 12),
    ]
    every = [event["count"] for event in events if event["event"] == "heartbeat.failed"]
    assert every == [*range(1, 13)]


async def test_snapshots_that_fail(events: Events) -> None:
    """Another reason is logged at once; recovery clears the alarm of a refusal."""
    board = empty_board()
    refusals = SessionFailures("build", board, calm_seconds=60)
    for _ in range(3):
        refusals.snapshot_failed(TransientError("no answer"))
    for _ in range(3):
        refusals.snapshot_failed(RefusedError("not yours", status=403, detail=""))
    assert (Code.FORBIDDEN, "build:snapshot") in board.alarms
    refusals.snapshot_came()
    refusals.snapshot_came()
    assert not board.alarms
    assert told(events, "snapshot.failed", "snapshot.recovered") == [
        ("warning", "snapshot.failed", 1),
        ("warning", "snapshot.failed", 4),
        ("info", "snapshot.recovered", 6),
    ]


async def test_a_stream_that_comes_and_goes(events: Events) -> None:
    """It is one row of failures until the stream is open for a minute."""
    refusals = SessionFailures("b", empty_board(), calm_seconds=60)
    refusals.stream_connected()
    for _ in range(12):
        refusals.stream_ended(TransientError("the stream ended"), seconds=20.0)
        refusals.stream_connected()
    refusals.stream_ended(None, seconds=20.0)
    refusals.stream_connected()
    said = [(e["event"], e.get("count")) for e in events if e["log_level"] != "debug"]
    assert said == [
        ("stream.connected", None),
        ("stream.lost", 1),
        ("stream.connected", None),
        ("stream.recovered", 1),
        ("stream.lost", 10),
        ("stream.connected", None),
        ("stream.recovered", 10),
        ("stream.retired", None),
        ("stream.connected", None),
    ]


async def test_a_stream_that_cannot_be_had(events: Events) -> None:
    """A stream that never opened is reported as failed, not as lost."""
    refusals = SessionFailures("b", empty_board(), calm_seconds=60)
    for _ in range(2):
        refusals.stream_ended(TransientError("no route"), seconds=None)
    assert told(events, "stream.lost", "stream.failed") == [("warning", "stream.failed", 1)]


async def test_events_that_mean_nothing(events: Events) -> None:
    """A thousand of them are three log lines."""
    refusals = SessionFailures("b", empty_board(), calm_seconds=60)
    for _ in range(1000):
        refusals.event_not_understood("the event is not JSON")
    assert [count for _, _, count in told(events, "stream.event_not_understood")] == [
        1,
        10,
        100,
    ]


async def test_mutations_that_wait(home: "Home", events: Events) -> None:
    """A file that cannot be edited is logged once, and so is the end of it."""
    async with home.daemon(without=("sessions", "configuration")) as daemon:
        await daemon.until(lambda: home.beats)
        home.config.write_text("[")
        waiting = home.enqueue("project.enable", id="proj_a")
        await daemon.until(lambda: "config.invalid" in daemon.conditions)
        count = len(home.beats)
        await daemon.until(lambda: len(home.beats) >= count + 3)
        home.write(PROJECT)
        daemon.wake_heartbeat.set()
        await daemon.until(lambda: home.mutation(waiting).status == "applied")
    stalled, resumed = (
        [e for e in events if e["event"] == name]
        for name in ("mutations.stalled", "mutations.resumed")
    )
    assert [e["log_level"] for e in stalled[:9]] == (["error"] + ["debug"] * 8)[
        : len(stalled)
    ]
    assert [e["count"] for e in resumed] == [len(stalled)]


async def test_a_file_that_cannot_be_used(home: "Home", events: Events) -> None:
    """Each new error is logged, a repeated one is not, and the fix is."""
    async with home.daemon(
        without=("heartbeat", "mutations", "sessions", "configuration")
    ) as daemon:
        for text in ("[", "[", "]", "\n]", "[platform]\nhue = 1\n", ""):
            home.write(text)
            with suppress(SettingsError):
                await reload(daemon.configuration, daemon.board)
    assert told(events, "config.refused", "config.recovered") == [
        ("warning", "config.refused", 1),
        ("warning", "config.refused", 3),
        ("warning", "config.refused", 4),
        ("warning", "config.refused", 5),
        ("info", "config.recovered", 5),
    ]


async def test_a_state_file_that_cannot_be_written(home: "Home", events: Events) -> None:
    """It is logged once, and again when it can be written."""
    place, board = home.place / "gone", empty_board()
    failures = status_failures(board)
    for _ in range(3):
        await write_status(board, place / "status.json", failures)
    place.mkdir()
    await write_status(board, place / "status.json", failures)
    assert told(events, "status.not_written", "status.recovered") == [
        ("warning", "status.not_written", 1),
        ("info", "status.recovered", 3),
    ]


async def test_the_writer_of_the_state_file_tries_again_and_again(
    tmp_path: Path, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It retries twice a second while the disk is full, and logs once."""
    monkeypatch.setattr("rensei_daemon.tasks.status_reporting.AT_MOST_EVERY_SECONDS", 0.0)
    board, notifier = empty_board(), Notifier.from_environ({})
    with anyio.fail_after(HANG_SECONDS):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(keep_reporting, board, tmp_path / "gone/status", notifier)
            while len(events) < 5:
                board.on_change()
                await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
    assert told(events, "status.not_written") == [("warning", "status.not_written", 1)]


async def test_a_text_that_cannot_be_kept(
    home: "Home", events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A last good text that cannot be saved is logged once, and its recovery too."""
    monkeypatch.setattr("rensei_daemon.tasks.last_good_saver.AT_LEAST_SECONDS", 0.0)
    kept = home.last_good.path
    kept.mkdir()
    async with home.daemon(without=("heartbeat", "mutations", "sessions", "configuration")):
        failed = "config.last_good_not_kept"
        await eventually(lambda: sum(e["event"] == failed for e in events) > 2)
        kept.rmdir()
        await eventually(lambda: told(events, "config.last_good_kept"))
    levels = [
        (level, name) for level, name, _ in told(events, failed, "config.last_good_kept")
    ]
    first, *_, last = levels
    assert (first, last) == (("warning", failed), ("info", "config.last_good_kept"))


async def test_an_identity_that_cannot_be_saved(home: "Home", events: Events) -> None:
    """A full disk or missing directory is logged once, and its recovery too."""
    async with home.daemon(without=("sessions", "mutations")) as daemon:
        home.runtime.rmdir()
        await daemon.until(lambda: "storage" in daemon.conditions)
        worker = daemon.identity.worker
        assert worker is not None
        await daemon.identity.refresh(worker)
        home.runtime.mkdir()
        await daemon.identity.refresh(daemon.identity.worker or worker)
    first, *_, last = told(events, "worker.not_saved", "worker.saved")
    assert first == ("warning", "worker.not_saved", 1)
    tries = sum(event["event"] == "worker.not_saved" for event in events)
    assert last == ("info", "worker.saved", tries)


async def test_a_watchdog_that_is_starved(events: Events) -> None:
    """Late loops are named at once, and again only when others are late too."""
    deadlines = Deadlines()
    notifier = Notifier.from_environ({})
    with anyio.fail_after(HANG_SECONDS):
        async with anyio.create_task_group() as tasks:
            deadlines.set("beats", anyio.current_time() - 60)
            tasks.start_soon(feed_watchdog, deadlines, notifier, 0.001)
            while len(events) < 12:
                await anyio.lowlevel.checkpoint()
            deadlines.remove("beats")
            while events[-1]["event"] != "watchdog.recovered":
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
    assert [count for level, _, count in told(events, "watchdog.withheld")] == [1, 10]
    assert events[0]["loops"] == ("beats",)
