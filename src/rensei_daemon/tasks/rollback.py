"""Undoes one change of the file when an operator on this host requests it."""

from functools import partial

import anyio.to_thread
import structlog

from rensei_daemon.core.board import Board
from rensei_daemon.core.document import Document
from rensei_daemon.disk.applier import Applier
from rensei_daemon.settings.configuration import Configuration
from rensei_daemon.settings.model import Settings
from rensei_daemon.wake_event import WakeEvent

_log = structlog.get_logger()


async def roll_back(
    number: int,
    applier: Applier[Settings],
    configuration: Configuration,
    board: Board,
    *,
    requested_by: str,
    dry_run: bool,
    beat: WakeEvent,
) -> tuple[Document, Document]:
    """Undo a change, put the result in force, and return the text before and after.

    `beat` is set, so that the platform hears of it. Raise what `Applier.roll_back` raises.
    """
    undo = partial(applier.roll_back, number, requested_by=requested_by, dry_run=dry_run)
    async with configuration.turn:
        before, after = await anyio.to_thread.run_sync(undo)
        if not dry_run:
            _log.info("config.rolled_back", change=number, requested_by=requested_by)
            configuration.adopt(after, board)
            beat.set()
    return before.document, after.document
