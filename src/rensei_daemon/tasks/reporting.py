"""Telling the outside how the daemon is: the state file, and the service manager."""

from datetime import UTC, datetime
from pathlib import Path

import anyio
import anyio.to_thread
import structlog

from rensei_daemon.core.board import Board, report
from rensei_daemon.core.conditions import Code
from rensei_daemon.core.pulse import Pulse
from rensei_daemon.core.status import summary, to_json
from rensei_daemon.disk.atomic import replace_file
from rensei_daemon.errors import StorageError
from rensei_daemon.systemd import Notifier
from rensei_daemon.tasks.bell import Bell

AT_LEAST_EVERY_SECONDS = 30.0
AT_MOST_EVERY_SECONDS = 0.5
LATE_BEFORE_WATCHDOG_SECONDS = 5.0

_log = structlog.get_logger()


async def keep_reporting(board: Board, path: Path, notifier: Notifier) -> None:
    """Write the state file at every change and now and then; never returns."""
    changed = Bell()
    board.on_change = changed.ring
    said = ""
    while True:
        status = report(board, datetime.now(UTC))
        line = summary(status)
        if line != said:
            notifier.status(line)
            said = line
        await write_status(board, path)
        await anyio.sleep(AT_MOST_EVERY_SECONDS)
        await changed.heard(within=AT_LEAST_EVERY_SECONDS - AT_MOST_EVERY_SECONDS)


async def write_status(board: Board, path: Path) -> None:
    """Write the state file once; a disk that refuses is an alarm, not an error."""
    text = to_json(report(board, datetime.now(UTC)))
    try:
        await anyio.to_thread.run_sync(lambda: replace_file(path, text.encode(), mode=0o600))
    except StorageError as error:
        now = datetime.now(UTC)
        board.raise_alarm(Code.STORAGE, str(error), hint=error.hint, now=now, subject="status")
    else:
        board.clear(Code.STORAGE, "status")


async def feed_watchdog(pulse: Pulse, notifier: Notifier, interval_seconds: float) -> None:
    """Tell the service manager that every loop turns, as long as it does; never returns."""
    while True:
        late = pulse.late(anyio.current_time() - LATE_BEFORE_WATCHDOG_SECONDS)
        if late:
            _log.error("watchdog.withheld", loops=late)
        else:
            notifier.watchdog()
        await anyio.sleep(interval_seconds)
