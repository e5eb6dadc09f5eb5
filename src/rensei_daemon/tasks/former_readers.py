"""Readers that were connected when the daemon last ran, and whether they came back.

Their process ids are in the last `status.json`, which holds no secret and is written at
every change. The platform's public client never reconnects: a worker that uses it keeps the
values that it has and receives no others. Processes that have ended are not expected, and
after a reboot none is.
"""

import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, TypeVar

import anyio

from rensei_daemon.core.board import Board
from rensei_daemon.core.conditions import Code
from rensei_daemon.core.health import DEPARTED, ConsumerHealth
from rensei_daemon.delivery.credential_socket import CredentialSocket
from rensei_daemon.delivery.departed_readers import FormerReaders
from rensei_daemon.disk.processes import lives

LOOK_SECONDS = 5.0

Readers = dict[int, str]
"""Names of readers by process id, as the status showed them."""

_T = TypeVar("_T")


def former_readers(last: Mapping[str, Any] | None, *, now: datetime) -> dict[str, Readers]:
    """Return each session's readers in the last status, if it was written on this boot."""
    return _of_sessions(last, now, lambda session: _readers(session["consumers"]))


def former_processes(
    last: Mapping[str, Any] | None, *, now: datetime
) -> dict[str, FormerReaders]:
    """Return the same with what they had, and with those that had left the socket."""
    return _of_sessions(last, now, _processes)


def _of_sessions(
    last: Mapping[str, Any] | None,
    now: datetime,
    read: Callable[[Mapping[str, Any]], _T | None],
) -> dict[str, _T]:
    booted_at = now - timedelta(seconds=time.clock_gettime(time.CLOCK_BOOTTIME))
    try:
        if last is None or datetime.fromisoformat(last["reported_at"]) < booted_at:
            return {}
        return {
            str(session["id"]): found
            for session in last["sessions"]
            if (found := read(session))
        }
    except (LookupError, TypeError, ValueError):
        return {}  # written by another version, or damaged


def _readers(consumers: list[Mapping[str, Any]]) -> Readers:
    return {
        consumer["pid"]: str(consumer["name"])
        for consumer in consumers
        if consumer["kind"] == "socket" and type(consumer["pid"]) is int
    }


def _processes(session: Mapping[str, Any]) -> FormerReaders | None:
    readers = tuple(
        ConsumerHealth(
            kind=DEPARTED,
            name=str(consumer["name"]),
            generation=_number(consumer["generation"]),
            pid=_number(consumer["pid"]),
            started=_number(consumer.get("started")),
            has_unread=consumer.get("has_unread") is True,
        )
        for consumer in session["consumers"]
        if consumer["kind"] in ("socket", DEPARTED)
    )
    if not readers:
        return None
    return FormerReaders(
        readers=readers,
        generation=_number(session["generation"]) or 0,
        version=_number(session.get("version")),
    )


def _number(found: object) -> int | None:
    return found if type(found) is int and 0 <= found < 2**63 else None


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
            ended = {pid for pid in awaited if not lives(pid, None)}
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
