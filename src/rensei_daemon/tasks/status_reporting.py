"""Reports the state of the daemon: the status file and the service manager."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import anyio
import anyio.to_thread

from rensei_daemon import __version__
from rensei_daemon.clock import CLOCK
from rensei_daemon.core.board import Board, report
from rensei_daemon.core.conditions import Code
from rensei_daemon.core.counters import Histogram
from rensei_daemon.core.health import ConfigHealth, HeartbeatHealth, WorkerHealth
from rensei_daemon.core.liveness import Deadlines
from rensei_daemon.core.status import summary, to_json
from rensei_daemon.disk.atomic_file import replace_file
from rensei_daemon.disk.directories import is_tmpfs
from rensei_daemon.disk.journal import Journal
from rensei_daemon.errors import SettingsError, StorageError
from rensei_daemon.failure_reporter import FailureReporter
from rensei_daemon.settings.configuration import Configuration
from rensei_daemon.systemd import Notifier
from rensei_daemon.tasks.state_opening import report_closed, report_set_aside
from rensei_daemon.wake_event import WakeEvent

AT_LEAST_EVERY_SECONDS = 30.0
AT_MOST_EVERY_SECONDS = 0.5
LATE_BEFORE_WATCHDOG_SECONDS = 5.0
LAG_EVERY_SECONDS = 5.0
"""Rarely, so that an idle daemon hardly wakes up to measure its lag."""


def open_board(
    configuration: Configuration,
    journal: Journal,
    runtime: Path,
    config_error: SettingsError | None,
    state: Path | StorageError | None,
) -> Board:
    """Return the board of a daemon that starts; block.

    `config_error` is the error of the configuration file, if any; `state` is where a
    damaged journal was moved, or why there is no journal.
    """
    settings = configuration.settings
    board = Board(
        version=__version__,
        pid=os.getpid(),
        started_at=CLOCK.now(),
        config=ConfigHealth(
            path=str(configuration.file.path), digest=configuration.document.digest
        ),
        worker=WorkerHealth(platform_url=settings.platform.url),
        heartbeat=HeartbeatHealth(interval_seconds=settings.interval_seconds()),
    )
    configuration.post(board)
    if isinstance(state, StorageError):
        report_closed(state, board)
    else:
        board.post(journal.records.health())
    if config_error is not None:
        configuration.log_refused(config_error)
        configuration.refuse(config_error, board)
    if isinstance(state, Path):
        report_set_aside(state, board)
    _report_environment(board, runtime)
    return board


def _report_environment(board: Board, runtime: Path) -> None:
    now = CLOCK.now()
    if not is_tmpfs(runtime):
        message = f"{runtime} is not in memory: credentials in it reach the disk"
        hint = "put [paths].runtime on a tmpfs, such as /run"
        board.raise_alarm(Code.RUNTIME_NOT_TMPFS, message, hint=hint, now=now)
    if os.geteuid() == 0:
        hint = "run it as a user of its own: rensei-daemon install sets one up"
        board.raise_alarm(Code.RUN_BY_ROOT, "the daemon runs as root", hint=hint, now=now)


async def keep_reporting(
    board: Board,
    path: Path,
    notifier: Notifier,
    *,
    refresh: Callable[[], None] = lambda: None,
) -> None:
    """Write the status file at every change and at intervals; never return.

    `refresh` posts what changes without an event.
    """
    changed, failures = WakeEvent(), status_failures(board)
    board.on_change = changed.set
    shown = ""
    while True:
        refresh()
        status = report(board, *CLOCK.read())
        line = summary(status)
        if line != shown:
            notifier.status(line)
            shown = line
        await write_status(board, path, failures)
        await anyio.sleep(AT_MOST_EVERY_SECONDS)
        await changed.wait(within=AT_LEAST_EVERY_SECONDS - AT_MOST_EVERY_SECONDS)


def status_failures(board: Board) -> FailureReporter:
    """Return the reporter of a status file that cannot be written."""
    return FailureReporter(board=board, subject="status")


async def write_status(board: Board, path: Path, failures: FailureReporter) -> None:
    """Write the status file once; raise an alarm, not an error, if that fails."""
    text = json.dumps(to_json(report(board, *CLOCK.read())), indent=2) + "\n"
    try:
        await anyio.to_thread.run_sync(
            lambda: replace_file(path, text.encode(), mode=0o600)
        )
    except StorageError as error:
        failures.report_error("status.not_written", error, alarm=Code.STORAGE)
    else:
        failures.report_recovery("status.recovered")


async def feed_watchdog(
    deadlines: Deadlines, notifier: Notifier, interval_seconds: float
) -> None:
    """Feed the watchdog as long as every loop keeps its deadline; never return."""
    failures = FailureReporter()
    while True:
        now = anyio.current_time()
        late = deadlines.overdue(now - LATE_BEFORE_WATCHDOG_SECONDS)
        if late:
            names = " ".join(late)
            failures.report_failure("watchdog.withheld", names, level="error", loops=late)
        else:
            notifier.watchdog()
            failures.report_recovery("watchdog.recovered")
        await anyio.sleep(interval_seconds)


async def measure_lag(lag: Histogram, every_seconds: float = LAG_EVERY_SECONDS) -> None:
    """Record by how much each sleep was too long; never return."""
    while True:
        due = anyio.current_time() + every_seconds
        await anyio.sleep(every_seconds)
        lag.observe(max(0.0, anyio.current_time() - due))
