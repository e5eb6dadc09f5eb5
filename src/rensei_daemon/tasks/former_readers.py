"""Readers that were connected when the daemon last ran, and whether they came back.

Their process ids are in the last `status.json`, which holds no secret and is written at
every change. The platform's public client never reconnects: a worker that uses it keeps the
values that it has and receives no others. Processes that have ended are not expected, and
after a reboot none is.
"""

import os
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import anyio

from rensei_daemon.core.board import Board
from rensei_daemon.core.conditions import Code
from rensei_daemon.delivery.credential_socket import CredentialSocket

LOOK_SECONDS = 5.0

Readers = dict[int, str]
"""Names of readers by process id, as the status showed them."""


def former_readers(
    last: Mapping[str, Any] | None, *, now: datetime
) -> Mapping[str, Readers]:
    """Return each session's readers in the last status, if it was written on this boot."""
    booted_at = now - timedelta(seconds=time.clock_gettime(time.CLOCK_BOOTTIME))
    try:
        if last is None or datetime.fromisoformat(last["reported_at"]) < booted_at:
            return {}
        return {
            str(session["id"]): readers
            for session in last["sessions"]
            if (readers := _readers(session["consumers"]))
        }
    except (LookupError, TypeError, ValueError):
        return {}  # written by another version, or damaged


def _readers(consumers: list[Mapping[str, Any]]) -> Readers:
    return {
        consumer["pid"]: str(consumer["name"])
        for consumer in consumers
        if consumer["kind"] == "socket" and type(consumer["pid"]) is int
    }


async def await_readers(
    former: Mapping[str, Readers], sockets: CredentialSocket, board: Board
) -> None:
    """Show on the board which readers are missing, until all are back or have ended."""
    for session_id, readers in former.items():
        if subscribers := sockets.find(session_id):
            subscribers.awaited = readers.keys() - {
                line.pid for line in subscribers.consumers
            }
    while True:
        is_over = True
        for session_id, readers in former.items():
            subscribers = sockets.find(session_id)
            awaited = subscribers.awaited if subscribers else set()
            ended = {pid for pid in awaited if not _lives(pid)}
            awaited -= ended
            for pid in ended:
                del readers[pid]
            _post(board, session_id, readers, awaited)
            is_over = is_over and not awaited
        if is_over:
            return
        await anyio.sleep(LOOK_SECONDS)


def _post(board: Board, session_id: str, readers: Readers, awaited: set[int]) -> None:
    subject = f"{session_id}:readers"
    if not awaited:
        board.clear(Code.READERS_MISSING, subject)
        return
    names = ", ".join(readers[pid] for pid in sorted(awaited))
    board.raise_alarm(
        Code.READERS_MISSING,
        f"session {session_id}: readers before the restart: {len(readers)}, "
        f"back: {len(readers) - len(awaited)}; not back: {names}",
        hint="restart them: they have old values and receive no new ones",
        now=board.started_at,
        subject=subject,
    )


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # it exists and belongs to another user
    return True
