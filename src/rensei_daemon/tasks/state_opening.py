"""Opens the state directory if that failed at the start."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import structlog

from rensei_daemon.clock import CLOCK
from rensei_daemon.core.backoff import Backoff, Draw
from rensei_daemon.core.board import Board
from rensei_daemon.core.conditions import Code
from rensei_daemon.disk.state_directory import StateDirectory
from rensei_daemon.errors import StorageError
from rensei_daemon.failure_reporter import FailureReporter

RETRY = Backoff(base_seconds=1.0, cap_seconds=15.0)
AT_LEAST_SECONDS = 0.25
SUBJECT = "state"

_log = structlog.get_logger()


def open_state(state: StateDirectory) -> Path | StorageError | None:
    """Open the state; return where a damaged journal was moved, or why it is not open."""
    try:
        return state.open(now=datetime.now(UTC))
    except StorageError as error:
        return error


async def keep_state_open(
    state: StateDirectory, board: Board, *, on_open: Callable[[], None], draw: Draw
) -> None:
    """Open the state if it is not open; never return.

    Call `on_open` when it is open. Raise `StateInUseError` if another daemon holds it.
    """
    failures, retry = FailureReporter(), RETRY
    while not state.journal.is_open:
        delay, retry = retry.next(draw)
        await anyio.sleep(max(delay, AT_LEAST_SECONDS))
        try:
            set_aside = await anyio.to_thread.run_sync(
                partial(state.open, now=datetime.now(UTC))
            )
        except StorageError as error:
            failures.report_error("state.not_opened", error)
            report_closed(error, board)
            continue
        _log.info("state.opened")
        board.clear(Code.STORAGE, SUBJECT)
        if set_aside is not None:
            report_set_aside(set_aside, board)
        board.post(await anyio.to_thread.run_sync(state.journal.records.health))
        on_open()
    await anyio.sleep_forever()


def report_closed(error: StorageError, board: Board) -> None:
    """Raise the alarm that there is no journal yet."""
    message = f"{error}; mutations wait until the state can be opened"
    board.raise_alarm(
        Code.STORAGE, message, hint=error.hint, now=CLOCK.now(), subject=SUBJECT
    )


def report_set_aside(path: Path, board: Board) -> None:
    """Raise the alarm that the journal could not be read, and where it was moved."""
    _log.error("journal.set_aside", path=str(path))
    board.raise_alarm(
        Code.STORAGE,
        f"the journal could not be read and was set aside as {path}",
        hint=f"the outcomes recorded in it are lost; keep it, or: rm {path}",
        now=CLOCK.now(),
        subject="journal",
    )
